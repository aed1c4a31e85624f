"""The checkpoint's files, its list of weights and its summary, from a folder."""

import json

import data_model as script
import numpy as np
import pytest
from safetensors.numpy import save_file

from vllm_lab.common.errors import LabError
from vllm_lab.data.checkpoint import lay_down, summarise
from vllm_lab.data.shape import parameters

WEIGHTS = ["model.safetensors"]


def shard(folder):
    """Split the tiny model's weights into two files and an index."""
    (folder / "model.safetensors").unlink()
    names = {"embed": "model-00001-of-00002.safetensors", "norm": "model-00002-of-00002.safetensors"}
    save_file({"embed": np.zeros((100, 32), np.float32)}, folder / names["embed"])
    save_file({"norm": np.ones(32, np.float32)}, folder / names["norm"])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return sorted(names.values())


def test_the_script_brings_a_folder_s_checkpoint_and_says_what_it_is(tiny, tmp_path):
    outdir = tmp_path / "results" / "model"
    given = f"--source path --path {tiny} --name Tiny --licence MIT --outdir {outdir}"
    script.main([*given.split(), "--summary", str(outdir / "summary.json")])
    assert sorted(path.name for path in outdir.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "summary.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    summary = json.loads((outdir / "summary.json").read_text())
    expected = {"source": "path", "name": "Tiny", "licence": "MIT", "weights": "real", "parameters": 3232}
    expected |= {"kv_bytes_per_token": 2 * 2 * 2 * 8 * 4, "context_length": 128, "dtype": "float32"}
    assert summary.items() >= expected.items()
    assert (outdir / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()


def test_shards_stay_shards_with_their_index(tiny, tmp_path):
    names = [*shard(tiny), "model.safetensors.index.json"]
    lay_down(tiny, tmp_path / "out", names)
    assert all((tmp_path / "out" / name).is_file() for name in names)
    assert summarise(tmp_path / "out")["parameters"] == 3232


def test_weight_files_other_than_the_configuration_s_are_named_with_the_way_out(tiny, tmp_path):
    names = shard(tiny)
    with pytest.raises(LabError, match=rf"not model\.safetensors; set model\.weights .* to \[{names[0]}, "):
        lay_down(tiny, tmp_path / "out", WEIGHTS)
    assert not (tmp_path / "out").exists()


def test_weights_of_an_earlier_model_do_not_stay(tiny, tmp_path):
    lay_down(tiny, tmp_path / "out", WEIGHTS)
    lay_down(tiny, tmp_path / "out", [*shard(tiny), "model.safetensors.index.json"])
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_second_time_gives_the_same_bytes(tiny, tmp_path):
    lay_down(tiny, tmp_path / "one", WEIGHTS)
    lay_down(tiny, tmp_path / "two", WEIGHTS)
    assert summarise(tmp_path / "one") == summarise(tmp_path / "two")


def test_the_digest_changes_with_any_file(tiny, tmp_path):
    lay_down(tiny, tmp_path / "one", WEIGHTS)
    (tiny / "tokenizer.json").write_text('{"version": "2.0"}')
    lay_down(tiny, tmp_path / "two", WEIGHTS)
    digests = [summarise(tmp_path / name)["checkpoint_sha256"] for name in ("one", "two")]
    assert digests[0] != digests[1]


def test_a_template_in_the_tokenizer_s_config_is_written_out(tiny, tmp_path):
    (tiny / "chat_template.jinja").unlink()
    for number, template in enumerate(
        ["T", [{"name": "tool", "template": "X"}, {"name": "default", "template": "T"}]]
    ):
        (tiny / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
        lay_down(tiny, tmp_path / str(number), WEIGHTS)
        assert (tmp_path / str(number) / "chat_template.jinja").read_text() == "T"


def test_a_model_without_a_template_gets_an_empty_file_and_not_an_earlier_one(tiny, tmp_path):
    lay_down(tiny, tmp_path / "out", WEIGHTS)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (tiny / name).unlink()
    lay_down(tiny, tmp_path / "out", WEIGHTS)
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == ""
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text()) == {}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named_and_nothing_is_written(tiny, tmp_path, name):
    (tiny / name).unlink()
    with pytest.raises(LabError, match=rf"tiny: {name} missing; save model and tokenizer"):
        lay_down(tiny, tmp_path / "out", WEIGHTS)
    assert not (tmp_path / "out").exists()


def test_a_missing_shard_is_named(tiny, tmp_path):
    last = shard(tiny)[-1]
    (tiny / last).unlink()
    with pytest.raises(LabError, match=f"tiny: {last} missing"):
        lay_down(tiny, tmp_path / "out", WEIGHTS)


def test_a_folder_that_does_not_exist_or_is_the_output_itself_is_refused(tiny, tmp_path):
    with pytest.raises(LabError, match="no such folder"):
        lay_down(tmp_path / "nothing", tmp_path / "out", WEIGHTS)
    with pytest.raises(LabError, match="the output folder itself"):
        lay_down(tiny, tiny, WEIGHTS)


def test_weights_that_are_cut_off_are_named(tiny):
    with (tiny / "model.safetensors").open("r+b") as file:
        file.truncate(20)
    with pytest.raises(LabError, match=r"model\.safetensors: not a safetensors file"):
        parameters(tiny / "model.safetensors")


@pytest.mark.parametrize(
    ("source", "flag"), [("package", "--package"), ("hub", "--repo"), ("path", "--path")]
)
def test_a_source_without_its_flags_names_them(source, flag, tmp_path):
    given = f"--source {source} --name N --licence L --outdir {tmp_path} --summary {tmp_path}/s.json"
    with pytest.raises(LabError, match=f"--source {source} needs {flag}"):
        script.main(given.split())
