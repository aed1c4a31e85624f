"""nsys is found, run, helped to its importer; what goes wrong is named. A shell script takes its place."""

import os
from pathlib import Path

import pytest

from vllm_lab.common.errors import LabError, Unavailable
from vllm_lab.nsight.capture import Nsys

# profile writes what its LEAVES says, export copies the report; the words given are kept.
NSYS = """#!/bin/sh
echo "$@" >> "$0.calls"
case $1 in
  --version) echo "NVIDIA Nsight Systems version 2022.4.2.1-df9881f";;
  profile)
    for word; do case $word in --output=*) stem=${word#--output=};; esac; last=$word; done
    for ending in $LEAVES; do echo "$ending" > "$stem.$ending"; done
    exit $last;;
  export) cp "$4" "${3#--output=}";;
esac
"""
IMPORTER = '#!/bin/sh\ncp "$2" "$4"\n'


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def nsys(tmp_path, monkeypatch) -> Nsys:
    program(tmp_path / "target-linux-x64/nsys", NSYS)
    monkeypatch.setenv("PATH", f"{tmp_path}/target-linux-x64{os.pathsep}{os.environ['PATH']}")
    return Nsys.find()


def capture(nsys: Nsys, folder: Path, *command: str, cuda: bool = False) -> tuple[str, str]:
    report, sqlite = folder / "made/run.nsys-rep", folder / "made/run.sqlite"
    nsys.capture(command or ("0",), report, sqlite, cuda)
    assert sorted(path.name for path in report.parent.iterdir()) == ["run.nsys-rep", "run.sqlite"]
    return report.read_text().strip(), sqlite.read_text().strip()


def test_the_version_is_read(nsys):
    assert nsys.version == "2022.4.2.1"


def test_without_nsys_the_reason_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="apt-get install nsight-systems"):
        Nsys.find()


def test_a_whole_report_is_kept_and_exported(nsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LEAVES", "nsys-rep")
    assert capture(nsys, tmp_path) == ("nsys-rep", "nsys-rep")


def test_a_raw_report_is_imported_by_the_importer_of_the_same_installation(nsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LEAVES", "qdstrm")
    program(tmp_path / "host-linux-x64/QdstrmImporter", IMPORTER)
    assert capture(nsys, tmp_path) == ("qdstrm", "qdstrm")


def test_an_importer_that_fails_is_the_reason(nsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LEAVES", "qdstrm")
    program(tmp_path / "host-linux-x64/QdstrmImporter", "#!/bin/sh\necho first\necho out of luck\nexit 3\n")
    with pytest.raises(Unavailable, match="QdstrmImporter failed: out of luck"):
        capture(nsys, tmp_path)


def test_a_capture_that_never_began_is_the_reason(nsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LEAVES", "")
    with pytest.raises(Unavailable, match=r"nsys 2022\.4\.2\.1 captured nothing"):
        capture(nsys, tmp_path)


def test_a_command_that_fails_is_an_error_and_leaves_nothing(nsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LEAVES", "nsys-rep")
    with pytest.raises(LabError, match="status 7"):
        nsys.capture(["7"], tmp_path / "made/a.nsys-rep", tmp_path / "made/a.sqlite", cuda=False)
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.parametrize("cuda", [False, True])
def test_captures_are_kept_small_and_begin_after_the_warm_up(nsys, tmp_path, monkeypatch, cuda):
    monkeypatch.setenv("LEAVES", "nsys-rep")
    capture(nsys, tmp_path, cuda=cuda)
    words = (tmp_path / "target-linux-x64/nsys.calls").read_text().splitlines()[1].split()
    assert {"--sample=none", "--cpuctxsw=none", "--nvtx-capture=capture@vllm_lab"} <= set(words)
    assert ("--trace=cuda,nvtx,osrt" in words) == ("--cuda-graph-trace=node" in words) == cuda
