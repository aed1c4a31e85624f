"""One small addition of each kind that CONTRIBUTING.md lists: file -> how the addition edits it."""

import re
from collections.abc import Callable, Mapping

Edit = Callable[[str], str]


def after(place: str, addition: str) -> Edit:
    """Add text behind the first `place` in a file."""

    def edit(text: str) -> str:
        assert place in text, f"{place!r} is not in the file"
        return text.replace(place, place + addition, 1)

    return edit


def new(text: str) -> Edit:
    return lambda _: text


def appended(text: str) -> Edit:
    return lambda old: old + text


EXPERIMENT = """title: One long prompt
question: Does a smaller token budget keep long prompts from delaying the others?
trace: multi_turn
settings: {requests: 30, num_blocks: 4096}
runs:
  mini:
    small: {engine: v4_prefix, max_num_batched_tokens: 512}
    large: {engine: v4_prefix, max_num_batched_tokens: 8192}
predictions:
  - id: tail
    statement: With 512 tokens in a step, the 99th percentile of TTFT is lower than with 8192.
    why: No step lasts longer than half a thousand tokens take.
    metric: small.ttft_p99
    relation: less than
    value: large.ttft_p99
"""
FORMAT = '''"""Request ids alone."""

from collections.abc import Iterator

from vllm_lab.traces.formats.format import Outgoing, Record, Source


def _records(source: Source) -> Iterator[Record]:
    return ({"id": name} for name in source.trace.request_id)


OUTGOING = Outgoing("ids.jsonl", "requests", True, (), (), _records)
'''
PART = '''"""A part that is only a sentence."""

from vllm_lab.report.blocks import Section, text
from vllm_lab.report.results import Results


def build(results: Results) -> Section:
    """Always there."""
    return Section("weather", "Weather", (text("The sun shines."),))
'''
PAIR = """
        Pair(
            "compiled_graphs",
            "Graphs against eager",
            "How much faster are compiled graphs than the eager model?",
            "Everything against nothing.",
            ("eager", {"enforce_eager": True}),
            ("graphs", {"enforce_eager": False}),
        ),"""
VERSION = """
    "v5_copy": Version(caches=True, exact=True),"""
RULE = '''

rule sharing_count:
    """how many requests a trace has"""
    input:
        **needs("sharing_count", "sharing_count"),
        trace="results/traces/multi_turn_trace.parquet",
    output:
        number="results/sharing/count.json",
        prov="results/sharing/sharing_count.prov.json",
    log:
        "results/logs/sharing_count.log",
    benchmark:
        "results/timings/sharing_count.tsv"
    conda:
        ENVIRONMENT
    message:
        "Counting requests"
    shell:
        traced("sharing_count", "--trace {input.trace:q} --output {output.number:q}")
'''
SCRIPT = '''"""Count the requests of a trace.

In: a trace.
Out: their number (JSON).
"""

from vllm_lab.common import console, files, flags
from vllm_lab.sharing.count import requests_of


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, trace="the trace", output="JSON to write")
    files.write_json(args.output, {"requests": requests_of(args.trace)})


if __name__ == "__main__":
    console.run(main)
'''
MODULE = '''"""The number of requests of a trace."""

from pathlib import Path

from vllm_lab.traces.trace import Trace


def requests_of(path: Path) -> int:
    """How many requests the trace at `path` has."""
    return len(Trace.read(path))
'''
POLICY_TEST = """

def test_clock_is_a_policy_of_the_library_and_is_drawn():
    assert POLICIES["clock"].library == "Clock"
    assert "clock" in policy_styles([])
"""
PART_TEST = """from vllm_lab.report.parts import PARTS, weather


def test_the_part_is_listed_and_says_that_the_sun_shines():
    assert weather.build in PARTS
    assert weather.build(None).blocks[0].parts == ("The sun shines.",)
"""
PAIR_TEST = """from vllm_lab.plan.pairs import PAIRS
from vllm_lab.plan.tests import TESTS


def test_the_sides_of_the_pair_are_those_of_its_figure():
    pair, (panel, *_) = PAIRS["compiled_graphs"], TESTS["compiled_graphs"].panels
    assert [f"{side}_total_time" for side in (pair.without[0], pair.with_[0])] == list(panel.metrics)
"""
VERSION_TEST = """from mini_vllm.tools.engines import ENGINES
from mini_vllm.tools.versions import VERSIONS


def test_v5_is_v4_once_more():
    assert ENGINES["v5_copy"] is ENGINES["v4_prefix"]
    assert VERSIONS["v5_copy"].exact
"""
COUNT_TEST = """from tests.sharing.small_traces import make_trace
from vllm_lab.sharing.count import requests_of


def test_every_request_is_counted(tmp_path):
    make_trace([[1, 2, 3]], [(0, 1, 1, 0.0), (0, 2, 1, 1.0)]).write(tmp_path / "trace.parquet")
    assert requests_of(tmp_path / "trace.parquet") == 2
"""

CHANGES: dict[str, Mapping[str, Edit]] = {
    "an experiment": {"experiments/exp905.yaml": new(EXPERIMENT), "experiments/pins.txt": appended("")},
    "an eviction policy of libCacheSim": {
        "src/vllm_lab/sharing/policies.py": after(
            "POLICIES = {", '\n    "clock": Policy("Clock"),  # as in libCacheSim'
        ),
        "docs/sharing.md": appended("\n`clock`\n"),
        "tests/sharing/test_sweep.py": appended(POLICY_TEST),
    },
    "a trace format": {
        "src/vllm_lab/traces/formats/ids.py": new(FORMAT),
        "src/vllm_lab/traces/formats/__init__.py": lambda text: after(
            "EXPORTS = {", '\n    "ids": ids.OUTGOING,'
        )(after("    custom,\n", "    ids,\n")(text)),
        "docs/traces.md": appended("\n`ids`\n"),
    },
    "a part of the report": {
        "src/vllm_lab/report/parts/weather.py": new(PART),
        "src/vllm_lab/report/parts/__init__.py": lambda text: after("PARTS = (", "weather.build, ")(
            after("    sharing,\n", "    weather,\n")(text)
        ),
        "tests/report/test_weather.py": new(PART_TEST),
    },
    "a test of the benchmark plan": {
        "src/vllm_lab/plan/pairs.py": after("    for pair in (", PAIR),
        "src/vllm_lab/plan/tests.py": after(
            '_pair("torch_compile", "2.4", "eager", "compiled"),',
            '\n        _pair("compiled_graphs", "2.5", "eager", "graphs"),',
        ),
        "docs/plan.md": lambda text: text.replace(
            "### 3.1 ",
            "### 2.5 `compiled_graphs`\n\n"
            "- **Question**: how much faster are compiled graphs than the eager model?\n"
            "\n### 3.1 ",
            1,
        ),
        "config.yaml": lambda text: re.sub(r"(tests: +#[^\n]*\n +\[basics)", r"\1, compiled_graphs", text),
        "tests/plan/test_compiled_graphs.py": new(PAIR_TEST),
    },
    "a version of mini-vLLM, besides its folder": {
        "src/mini_vllm/v5_copy/__init__.py": new('"""v5: v4 once more."""\n'),
        "src/mini_vllm/v5_copy/engine.py": new(
            '"""v4\'s engine."""\n\nfrom mini_vllm.v4_prefix.engine import Engine\n\n__all__ = ["Engine"]\n'
        ),
        "src/mini_vllm/tools/versions.py": after(
            "VERSIONS = {  # by the name of the folder, in reading order", VERSION
        ),
        "src/mini_vllm/tools/engines.py": lambda text: after(
            "from mini_vllm.v4_prefix import engine as v4\n", "from mini_vllm.v5_copy import engine as v5\n"
        )(after('"v4_prefix": v4.Engine,', '\n    "v5_copy": v5.Engine,')(text)),
        "docs/mini_vllm.md": appended("\n## v5_copy\n"),
        "config.yaml": after("    - src/mini_vllm/v4_prefix\n", "    - src/mini_vllm/v5_copy\n"),
        "tests/mini/test_v5_copy.py": new(VERSION_TEST),
    },
    "a rule": {
        "src/vllm_lab/sharing/count.py": new(MODULE),
        "scripts/sharing_count.py": new(SCRIPT),
        "workflow/rules/sharing.smk": appended(RULE),
        "workflow/schemas/sharing_count.schema.yaml": new(
            'outputs: ["results/sharing/count.json"]\ntype: object\nrequired: [requests]\n'
        ),
        "results/README.md": after(
            "|---|---|---|\n", "| `sharing/count.json` | the number of requests | `sharing_count` |\n"
        ),
        "src/vllm_lab/workflow/files.py": after(
            '    yield "sharing/sharing_reference", ["sharing/reference.json"]\n',
            '    yield "sharing/sharing_count", ["sharing/count.json"]\n',
        ),
        "tests/sharing/test_count.py": new(COUNT_TEST),
    },
}
