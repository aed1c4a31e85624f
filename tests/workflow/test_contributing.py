"""CONTRIBUTING.md says how many files a new thing of each kind needs. Here each kind is added to a copy of
the project, with exactly those files, and the workflow must know it."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.workflow.additions import CHANGES, Edit

ROOT = Path(__file__).parents[2]


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
    copy.tests("tests/sharing/test_docs.py", "tests/sharing/test_sweep.py", "-k", "names_each_row or clock")


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
    copy.tests("tests/report/test_weather.py")


@pytest.mark.parametrize("copy", ["a test of the benchmark plan"], indirect=True)
def test_a_new_test_of_the_plan_is_measured_drawn_and_documented(copy):
    planned = copy.planned("report")
    assert "results/plan/cpu/compiled_graphs.json" in planned
    assert "results/plan/figures/compiled_graphs.png" in planned
    assert "compiled_graphs" in copy.run("-m", "snakemake", "--list")
    copy.tests("tests/plan/test_tests.py", "tests/plan/test_compiled_graphs.py")


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
    copy.tests("tests/mini/test_v5_copy.py")


@pytest.mark.parametrize("copy", ["a rule"], indirect=True)
def test_a_new_rule_has_all_that_rules_must_have(copy):
    assert "sharing_count" in copy.planned("results/sharing/count.json")
    copy.tests("tests/sharing/test_count.py")
    both = ("tests/workflow/test_rules.py", "tests/workflow/test_closures.py")
    copy.tests(*both, "-k", "sharing_count or not explains")
