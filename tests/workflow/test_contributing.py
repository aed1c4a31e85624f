"""CONTRIBUTING.md says how many files a new thing of each kind needs. Here each kind is added to a copy of
the project, with exactly those files, and the workflow must know it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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
FORMAT = '''"""Request ids alone, one per line."""

from pathlib import Path

from vllm_lab.traces.formats.format import Outgoing, Source


def _write(path: Path, source: Source) -> int:
    path.write_text("".join(f"{name}\\n" for name in source.trace.request_id))
    return len(source.trace.request_id)


OUTGOING = Outgoing("ids.txt", "requests", True, (), (), _write)
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
    Version("v5_copy", "copy", caches=True, chunks=True, exact=True, changes="It changes nothing."),"""
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

from collections.abc import Sequence

from vllm_lab.common import console, flags
from vllm_lab.common.files import write_json
from vllm_lab.sharing.count import requests_of


def main(argv: Sequence[str] | None = None) -> None:
    parser = flags.parser_of(__doc__)
    flags.add_paths(parser, trace="the trace", output="JSON to write")
    args = parser.parse_args(argv)
    write_json(args.output, {"requests": requests_of(args.trace)})


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
TEST = "def test_it():\n    assert True\n"

CHANGES: dict[str, Mapping[str, Edit]] = {
    "an experiment": {"experiments/exp905.yaml": new(EXPERIMENT), "experiments/pins.txt": appended("")},
    "an eviction policy of libCacheSim": {
        "src/vllm_lab/sharing/policies.py": after(
            "POLICIES = {", '\n    "clock": Policy("Clock"),  # as in libCacheSim'
        ),
        "docs/sharing.md": appended("\n`clock`\n"),
        "tests/sharing/test_sweep.py": appended(f"\n\n{TEST}"),
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
        "tests/report/test_weather.py": new(TEST),
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
        "tests/plan/test_compiled_graphs.py": new(TEST),
    },
    "a version of mini-vLLM, besides its folder": {
        "src/mini_vllm/v5_copy/__init__.py": new('"""v5: v4 once more."""\n'),
        "src/mini_vllm/v5_copy/engine.py": new(
            '"""v4\'s engine."""\n\nfrom mini_vllm.v4_prefix.engine import Engine\n\n__all__ = ["Engine"]\n'
        ),
        "src/mini_vllm/tools/versions.py": after("_TABLE = (", VERSION),
        "src/mini_vllm/tools/engines.py": lambda text: after(
            "from mini_vllm.v4_prefix import engine as v4\n", "from mini_vllm.v5_copy import engine as v5\n"
        )(after('"v4_prefix": v4.Engine,', '\n    "v5_copy": v5.Engine,')(text)),
        "docs/mini_vllm.md": appended("\n## v5_copy\n"),
        "config.yaml": after("    - src/mini_vllm/v4_prefix\n", "    - src/mini_vllm/v5_copy\n"),
        "tests/mini/test_v5_copy.py": new(TEST),
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
        "tests/sharing/test_count.py": new(TEST),
    },
}


def promised() -> dict[str, tuple[int, list[str]]]:
    """What CONTRIBUTING.md says: kind -> number of files and their paths, with placeholders in capitals."""
    rows = re.findall(
        r"^\| (an? .+?) \| (\d+) \| (`.+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    return {kind: (int(count), re.findall(r"`([^`]+)`", files)) for kind, count, files in rows}


class Copy:
    """The project's own files in another folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes((ROOT / name).read_bytes())

    def apply(self, change: Mapping[str, Edit]) -> None:
        for name, edit in change.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(edit(file.read_text() if file.exists() else ""))

    def run(self, *command: str) -> str:
        """What a command of the copy's own code prints."""
        done = subprocess.run(
            [sys.executable, *command], cwd=self.root, capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": str(self.root / "src")},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *words: str) -> str:
        """What a dry run lists."""
        return self.run("-m", "snakemake", "--dry-run", *words)

    def tests(self, *words: str) -> None:
        self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *words)


@pytest.fixture
def copy(tmp_path, request) -> Copy:
    """A copy with the change of the test's `change` marker applied."""
    project = Copy(tmp_path)
    project.apply(CHANGES[request.param])
    return project


def test_every_kind_of_the_page_is_tried_here():
    assert set(promised()) == set(CHANGES)


@pytest.mark.parametrize("kind", CHANGES)
def test_the_change_needs_exactly_the_files_of_the_page(kind):
    count, places = promised()[kind]
    touched = [name for name in CHANGES[kind] if "besides its folder" not in kind or "/v5_copy/" not in name]
    patterns = [re.sub(r"NAME|STAGE", r"\\w+", re.escape(place)) for place in places]
    assert len(touched) == len(places) == count
    assert all(any(re.fullmatch(pattern, name) for pattern in patterns) for name in touched)


@pytest.mark.parametrize("copy", ["an experiment"], indirect=True)
def test_a_new_experiment_is_run_and_judged(copy):
    copy.run("-m", "vllm_lab.experiments", "pin", "experiments/exp905.yaml")
    assert "exp905 " in (copy.root / "experiments/pins.txt").read_text()
    planned = copy.planned("report")
    assert "exp905.verdict.json" in planned
    assert "exp905.small" in planned


@pytest.mark.parametrize("copy", ["an eviction policy of libCacheSim"], indirect=True)
def test_a_new_policy_is_swept(copy):
    assert "--policies clock" in copy.planned(
        "--printshellcmds",
        "--config",
        "sweep={policies: [clock]}",
        "--",
        "results/sharing/sweeps/hit_rates.csv",
    )
    copy.tests("tests/sharing/test_docs.py")


@pytest.mark.parametrize("copy", ["a trace format"], indirect=True)
def test_a_new_format_is_exported(copy):
    found = copy.planned(
        *(
            "--printshellcmds",
            "--config",
            "exports={formats: [ids]}",
            "--",
            "results/traces/exports/index.json",
        )
    )
    assert "--formats ids" in found
    copy.tests("tests/sharing/test_docs.py")


@pytest.mark.parametrize("copy", ["a part of the report"], indirect=True)
def test_a_new_part_is_on_the_page(copy):
    copy.run(
        "-c",
        "import sys; sys.path[:0] = ['scripts', '.']; from pathlib import Path;"
        "from tests.report import example; root = Path('made');"
        "example.write_report(root, example.example(root))",
    )
    pages = list((copy.root / "made").rglob("index.html"))
    assert "The sun shines." in pages[0].read_text()


@pytest.mark.parametrize("copy", ["a test of the benchmark plan"], indirect=True)
def test_a_new_test_of_the_plan_is_measured_drawn_and_documented(copy):
    planned = copy.planned("report")
    assert "results/plan/cpu/compiled_graphs.json" in planned
    assert "results/plan/figures/compiled_graphs.png" in planned
    assert "compiled_graphs" in copy.run("-m", "snakemake", "--list")
    copy.tests("tests/plan/test_tests.py")


@pytest.mark.parametrize("copy", ["a version of mini-vLLM, besides its folder"], indirect=True)
def test_a_new_version_is_replayed_compared_and_counted(copy):
    planned = copy.planned("--printshellcmds", "report")
    assert "results/replay/v5_copy.multi_turn.scarce.json" in planned
    assert "src/mini_vllm/v5_copy" in planned  # counted by plan_code_quality
    trace = copy.root / "trace.jsonl"
    trace.write_text(
        '{"request_id":"a","arrival_time":0,"prompt_token_ids":[1,2,3],"output_token_ids":[4,5]}\n'
    )
    run = ("--version", "v5_copy", "--trace", str(trace), "--num-blocks", "9")
    assert "1 finished" in copy.run("-m", "mini_vllm", "run", *run)


@pytest.mark.parametrize("copy", ["a rule"], indirect=True)
def test_a_new_rule_has_all_that_rules_must_have(copy):
    assert "sharing_count" in copy.planned("results/sharing/count.json")
    both = ("tests/workflow/test_rules.py", "tests/workflow/test_closures.py")
    copy.tests(*both, "-k", "sharing_count or not explains")
