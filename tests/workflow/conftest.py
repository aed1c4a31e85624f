"""The small preset's pipeline, run for real in copies of the project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PARTS = (
    "Snakefile",
    "config.yaml",
    "profiles",
    "workflow",
    "scripts",
    "src",
    "envs",
    "experiments",
    "resources",
    "pyproject.toml",
    "Makefile",
    "README.md",
    "LICENSE",
    "CITATION.cff",
    "results/README.md",
)
PRESET = "workflow/presets/small.yaml"
LARGE = 2**26  # bytes: only ShareGPT and the model's weights have more
DOWNLOADED = (
    "results/README.md",
    "results/data/sharegpt",
    "results/data/data_sharegpt",
    "results/data/model/",
    "results/timings/",
)


@dataclass(frozen=True)
class Project:
    """A copy of the project's files in a folder of its own."""

    root: Path

    def start(
        self,
        *arguments: str,
        settings: str = "",
        where: Sequence[str] = ("--cores", "2", "--max-jobs-per-timespan", "100/1s"),
        own_session: bool = False,
        into: int = subprocess.PIPE,
        **environment: str,
    ) -> subprocess.Popen[str]:
        """Start snakemake with the small preset and `settings` (YAML) over it; `stdout` has all it prints."""
        own = self.root / "settings.yaml"
        own.write_text(settings or "{}")
        command = [sys.executable, "-m", "snakemake", *where, *arguments, "--configfile", PRESET, own.name]
        given = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.Popen(
            command, cwd=self.root, env={**given, **environment}, text=True, start_new_session=own_session,
            stdout=into, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def snakemake(self, *arguments: str, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run snakemake to its end, as `start` starts it; all it prints is in `stdout`."""
        with self.start(*arguments, **how) as run:
            text, _ = run.communicate()
        assert not check or run.returncode == 0, text[text.find("Error in rule") :][:9000]
        return subprocess.CompletedProcess(run.args, run.returncode, text)

    def planned(self, settings: str = "", *arguments: str) -> set[str]:
        """Names of the rules that a dry run of the report would execute, without the target itself."""
        text = self.snakemake("report", "--dry-run", *arguments, settings=settings).stdout
        if "Nothing to be done" in text:
            return set()
        table = text[text.index("Job stats:") : text.index("total")]
        return set(re.findall(r"^(\w+) +\d+$", table, re.MULTILINE)) - {"report"}

    def forget_results(self, *kept: str) -> None:
        """Delete all results but downloads, timings and those whose paths begin with one of `kept`."""
        results = [path for path in (self.root / "results").rglob("*") if path.is_file()]
        for path in results:
            if not path.relative_to(self.root).as_posix().startswith((*DOWNLOADED, *kept)):
                path.unlink()


def copy_sources(target: Path) -> Project:
    """A fresh clone as git would make it: every file new."""
    for part in PARTS:
        source = ROOT / part
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, target / part, copy_function=shutil.copyfile, ignore=ignored)
        else:
            shutil.copyfile(source, target / part)
    return Project(target)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small pipeline after `snakemake report`. Tests must leave it as it is."""
    project = copy_sources(tmp_path_factory.mktemp("finished"))
    project.snakemake("report")
    return project


def copy_of(finished: Project, target: Path) -> Project:
    """A copy, file times kept; its large files, which rules only ever replace as a whole, are hard links."""

    def copy(source: str, copied: str) -> None:
        (os.link if Path(source).stat().st_size > LARGE else shutil.copy2)(source, copied)

    shutil.copytree(finished.root, target, symlinks=True, copy_function=copy)
    return Project(target)


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished pipeline to change at will."""
    return copy_of(finished, tmp_path / "copy")
