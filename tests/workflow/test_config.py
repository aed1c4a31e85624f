"""The configuration's check, on the real schema and the real config.yaml."""

import copy
from pathlib import Path

import pytest
import yaml

from vllm_lab.common import schema
from vllm_lab.common.errors import LabError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
GIVEN = yaml.safe_load((ROOT / "config.yaml").read_text())


def merged(base: dict, other: dict) -> dict:
    """`other` laid over `base`, as Snakemake does with --configfile."""
    out = copy.deepcopy(base)
    for key, value in other.items():
        out[key] = (
            merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
        )
    return out


def changed(path: str, value: object) -> dict:
    out = copy.deepcopy(GIVEN)
    *parents, last = path.split(".")
    place = out
    for part in parents:
        place = place[part]
    place[last] = value
    return out


def test_the_config_file_itself_is_valid():
    schema.check(GIVEN, SCHEMA)


@pytest.mark.parametrize(
    "preset", sorted((ROOT / "workflow/presets").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_preset_over_the_config_file_is_valid(preset):
    schema.check(merged(GIVEN, yaml.safe_load(preset.read_text())), SCHEMA)


def test_the_default_is_the_reference_preset_but_for_think_times():
    reference = merged(GIVEN, yaml.safe_load((ROOT / "workflow/presets/reference.yaml").read_text()))
    assert reference["traces"].pop("think_time") == {"seconds": 0, "distribution": "fixed"}
    default = copy.deepcopy(GIVEN)
    assert default["traces"].pop("think_time")["seconds"] > 0
    assert reference == default


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("traces.rat", 2, ["traces.rat", "no such key", "did you mean 'rate'"]),
        ("speed", 2, ["speed", "no such key", "allowed here: device, cluster, sharegpt, model"]),
        ("cluster.gpu_model", "gpu:h100", ["cluster.gpu_model", "'gpu:h100'", "without quotes or colons"]),
        ("traces.rate", 0, ["traces.rate", "found 0", "more than 0"]),
        ("traces.rate", "fast", ["traces.rate", "found 'fast'", "number"]),
        ("traces.think_time.distribution", "normal", ["distribution", "'normal'", "fixed | exponential"]),
        ("sharegpt.source", "web", ["sharegpt.source", "'web'", "pypi | hub | path"]),
        ("sharegpt.source", "path", ["sharegpt.path", "empty"]),
        ("sharegpt.pypi.sha256", "abc", ["sharegpt.pypi.sha256", "'abc'", "sha256 in hexadecimal"]),
        ("sharing.block_sizes", [], ["sharing.block_sizes", "found []", "at least 1"]),
        ("sharing.block_sizes", [16, 16], ["sharing.block_sizes", "repetitions"]),
        ("sharing.block_sizes", [16, 0], ["sharing.block_sizes.1", "found 0", "at least 1"]),
        ("sweep.policies", ["lru", "mru"], ["sweep.policies.1", "'mru'", "lru | fifo"]),
        ("replay.num_blocks.scarce", 1, ["replay.num_blocks.scarce", "found 1", "at least 2"]),
        ("replay.clock", {"base": 1}, ["replay.clock.per_token", "missing"]),
        ("traces.priorities", {"high": 1}, ["traces.priorities.high", "'high'"]),
        ("traces.imported", {"multi_turn": {}}, ["traces.imported.multi_turn"]),
        ("traces", None, ["traces", "found None", "object"]),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_gives_one_line_with_key_found_and_allowed(path, value, parts):
    with pytest.raises(LabError) as caught:
        schema.check(changed(path, value), SCHEMA)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_missing_key_is_named():
    given = copy.deepcopy(GIVEN)
    del given["traces"]["seed"]
    with pytest.raises(LabError, match=r"traces\.seed: missing"):
        schema.check(given, SCHEMA)
