"""One file with everything: it verifies on any machine, and names what was changed in it."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import provenance_archive as archive_script
import pytest

from tests.provenance.crate.finished import ARCHIVE
from tests.provenance.crate.validator import failures
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_zip
from vllm_lab.provenance.__main__ import main
from vllm_lab.provenance.verify import verify

ROOT = Path(__file__).parents[3]
CHANGED = "sharing/multi_turn_stats.json"


def altered(archive: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """A copy of an archive with its members as `change(name, body)` gives them; None leaves one out."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            body = change(name, old.read(name))
            if body is not None:
                new.writestr(name, body)
    return target


def found(archive: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `verify` prints of an archive that does not fit."""
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(archive)])
    assert ended.value.code == 1
    return capsys.readouterr().out


def test_an_archive_holds_all_that_the_description_is_made_from(finished):
    with zipfile.ZipFile(finished / ARCHIVE) as packed:
        names = set(packed.namelist())
    below = {path.relative_to(finished / "results").as_posix() for path in (finished / "results").rglob("*")}
    files = {name for name in below if (finished / "results" / name).is_file()}
    assert names == files - {"provenance/archive.zip"}


def test_an_archive_is_a_valid_research_object_itself(finished):
    assert failures(finished / ARCHIVE) == []


def test_it_verifies_elsewhere_with_nothing_but_python_and_the_code_inside_it(finished, tmp_path):
    """No installed package: site-packages are off, and the project's own modules come from a copy."""
    archive = tmp_path / "results.zip"
    archive.write_bytes((finished / ARCHIVE).read_bytes())
    done = subprocess.run(
        [sys.executable, "-S", "-m", "vllm_lab.provenance", "verify", str(archive)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "every hash fits" in done.stdout
    outside = finished.with_name("given.txt")
    assert f"{outside}: given from outside the project, not in the archive" in done.stdout


def test_unpacked_with_its_source_it_is_the_project_beside_its_results(finished, tmp_path):
    with zipfile.ZipFile(finished / ARCHIVE) as packed:
        packed.extractall(tmp_path / "results")
    with zipfile.ZipFile(tmp_path / "results/provenance/source.zip") as source:
        source.extractall(tmp_path)
    assert {finding.path for finding in verify(tmp_path)} <= {str(finished.with_name("given.txt"))}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name, body: body + b" " * (name == CHANGED), f"results/{CHANGED}: changed"),
        (lambda name, body: None if name == CHANGED else body, f"results/{CHANGED}: missing"),
        (
            lambda name, body: None if name == "data/model/data_model.prov.json" else body,
            "summary.json: uncovered",
        ),
        (
            lambda name, body: (
                body.replace(b'"seed": null', b'"seed": 1')
                if name == "data/model/data_model.prov.json"
                else body
            ),
            "results/data/model/data_model.prov.json: forged",
        ),
    ],
    ids=["a changed byte", "a missing file", "a missing document", "an edited document"],
)
def test_what_was_changed_in_an_archive_is_named(finished, tmp_path, capsys, change, said):
    assert said in found(altered(finished / ARCHIVE, tmp_path / "a.zip", change), capsys)


def test_changed_code_in_an_archive_is_named(finished, tmp_path, capsys):
    def change(name: str, body: bytes) -> bytes:
        if name != "provenance/source.zip":
            return body
        (tmp_path / "old.zip").write_bytes(body)
        edited = altered(
            tmp_path / "old.zip",
            tmp_path / "new.zip",
            lambda name, body: body + b"# edited\n" * (name == "scripts/data_model.py"),
        )
        return edited.read_bytes()

    said = found(altered(finished / ARCHIVE, tmp_path / "a.zip", change), capsys)
    assert "results/provenance/source.zip: changed" in said
    assert "scripts/data_model.py: stale" in said


def test_what_is_no_archive_is_said_to_be_none(tmp_path):
    (tmp_path / "a.zip").write_text("no zip file")
    with pytest.raises(LabError, match=r"a\.zip: not an archive of results"):
        main(["verify", str(tmp_path / "a.zip")])
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as other:
        other.writestr("x", "y")
    with pytest.raises(LabError, match=r"b\.zip: not an archive of results"):
        main(["verify", str(tmp_path / "b.zip")])


def test_results_that_do_not_verify_are_not_packed(copy, monkeypatch):
    (copy / "results" / CHANGED).write_text("{}")
    (copy / ARCHIVE).unlink()
    monkeypatch.chdir(copy)
    with pytest.raises(LabError, match="nothing is packed"):
        archive_script.main(["--output", ARCHIVE])
    assert not (copy / ARCHIVE).exists()


def test_a_packed_file_keeps_whether_it_runs_and_nothing_else_of_its_time_and_owner(tmp_path):
    for name, mode in (("run.sh", 0o700), ("read.txt", 0o600)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    write_zip(tmp_path / "a.zip", {name: tmp_path / name for name in ("run.sh", "read.txt")})
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        modes = {entry.filename: oct(entry.external_attr >> 16) for entry in packed.infolist()}
        assert {entry.date_time[0] for entry in packed.infolist()} == {1980}
    assert modes == {"run.sh": "0o755", "read.txt": "0o644"}
