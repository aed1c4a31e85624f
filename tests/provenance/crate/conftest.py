"""A finished project with its research object and its archive, which the rules' scripts make."""

import shutil
from pathlib import Path

import provenance_archive as archive_script
import provenance_crate as crate_script
import pytest

from tests.provenance.crate.finished import ARCHIVE, MADE, REPORT, SETTINGS, reported
from tests.report.project import Project

ROOT = Path(__file__).parents[3]


def described(root: Path) -> None:
    """Describe the project's run and pack it, as the rules do."""
    (root / "scripts/provenance_crate.py").write_text("# provenance_crate\n")
    scripts = sorted(f"scripts/{path.name}" for path in (root / "scripts").iterdir())
    crate, workflow, source = MADE
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        crate_script.main(
            ["--report", *REPORT, "--settings", SETTINGS, "--citation",
             "CITATION.cff", "--snakefile", "Snakefile", "--project", "Snakefile", "CITATION.cff", *scripts,
             "--workflow", workflow, "--source", source, "--crate", crate]
        )  # fmt: skip
        contents = {path: (root / path).read_bytes() for path in MADE}
        Project(root).job("provenance_crate", contents, inputs=REPORT, kind="measured")
        archive_script.main(["--output", ARCHIVE])


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's root. Tests must leave it as it is."""
    root = tmp_path_factory.mktemp("finished") / "project"
    reported(root)
    for name in ("Snakefile", "CITATION.cff"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    described(root)
    return root


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to change at will."""
    return shutil.copytree(finished, tmp_path / "copy")
