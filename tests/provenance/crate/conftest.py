"""A project with results of every part, its research object and its archive, made by the rules' scripts."""

import shutil
from pathlib import Path

import provenance_archive as archive_script
import provenance_crate as crate_script
import pytest

from tests.provenance.crate.finished import ARCHIVE, MADE, REPORT
from tests.report.example import example, write_report
from tests.report.project import Project

ROOT = Path(__file__).parents[3]


def reported(root: Path) -> None:
    """Make every part's results below `root` and the report; one job read a file from outside the project."""
    outside = root.with_name("given.txt")
    outside.write_text("the user's own")
    project = Project(root)
    files = example(root)
    files += project.job("own", {"results/data/own.json": {}}, inputs=[str(outside)])
    write_report(root, files)
    project.job("render", {path: (root / path).read_bytes() for path in REPORT}, inputs=files)
    for name in ("Snakefile", "CITATION.cff"):
        (root / name).write_bytes((ROOT / name).read_bytes())


def described(root: Path) -> None:
    """Describe the project's run and pack it, as the rules do."""
    (root / "scripts/provenance_crate.py").write_text("# crate\n")
    scripts = sorted(f"scripts/{path.name}" for path in (root / "scripts").iterdir())
    crate, workflow, source = MADE
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        crate_script.main(
            ["--report", *REPORT, "--settings", "results/provenance/configuration.json", "--citation",
             "CITATION.cff", "--snakefile", "Snakefile", "--project", "Snakefile", "CITATION.cff", *scripts,
             "--workflow", workflow, "--source", source, "--crate", crate]
        )  # fmt: skip
        contents = {path: (root / path).read_bytes() for path in MADE}
        Project(root).job("crate", contents, inputs=REPORT, kind="measured")
        archive_script.main(["--output", ARCHIVE])


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's root. Tests must leave it as it is."""
    root = tmp_path_factory.mktemp("finished") / "project"
    reported(root)
    described(root)
    return root


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to change at will."""
    return shutil.copytree(finished, tmp_path / "copy")
