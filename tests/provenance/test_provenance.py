"""One document a job, and a verifier that names whatever does not fit."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.provenance import documents, record
from vllm_lab.provenance.__main__ import main
from vllm_lab.provenance.upstream import code_of, describe
from vllm_lab.provenance.verify import adopt, verify

COPY = """import pathlib, sys
value = dict(zip(sys.argv[1::2], sys.argv[2::2]))
pathlib.Path(value["--output"]).write_text(pathlib.Path(value["--input"]).read_text())
"""


def wrapped(rule: str, inputs: list[str], output: str, command: list[str]) -> list[str]:
    """The wrapper's command line, as a rule would write it."""
    prov = f"results/{rule}.prov.json"
    return [
        "run", "--inputs", *inputs, "--environment", "env.lock", "--outputs", output, prov,
        "--document", prov, "--log", f"results/logs/{rule}.log", "--", *command,
    ]  # fmt: skip


def job(rule: str, source: str, target: str, extra: tuple[str, ...] = ()) -> int:
    """Run a copying job through the wrapper in the working directory; its exit status."""
    command = ["python", "double.py", "--input", source, "--output", target, *extra]
    with pytest.raises(SystemExit) as ended:
        main(wrapped(rule, [source, "double.py", "env.lock"], target, command))
    return ended.value.code


@pytest.fixture
def project(tmp_path, monkeypatch):
    """raw.txt -> results/a.txt -> results/b.txt, made by two jobs."""
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    Path("raw.txt").write_text("raw")
    Path("double.py").write_text(COPY)
    Path("env.lock").write_text("numpy==2\n")
    assert job("first", "raw.txt", "results/a.txt") == 0
    assert (
        job("second", "results/a.txt", "results/b.txt", extra=("--seed", "7", "--sizes", "8", "16", "--fast"))
        == 0
    )
    return tmp_path


def kinds(project: Path, **options) -> dict[str, str]:
    return {finding.path: finding.kind for finding in verify(project, **options)}


def test_what_a_job_made_verifies(project):
    assert verify(project) == []


def test_the_identity_says_what_was_run_on_which_bytes(project):
    document = documents.collect(project)["results/b.txt"]
    identity = document.identity
    assert identity["rule"] == "second"
    assert identity["seed"] == 7
    assert identity["params"] == {"seed": "7", "sizes": ["8", "16"], "fast": True}
    assert set(identity["inputs"]) == {"results/a.txt"}
    assert set(identity["code"]) == {"double.py"}
    assert set(identity["environment"]) == {"env.lock"}
    assert identity["outputs"]["results/b.txt"] == identity["inputs"]["results/a.txt"]
    assert document.run["exit"] == 0
    assert document.run["host"]["cores"] >= 1


@pytest.mark.parametrize(("system", "peak"), [("linux", 2048), ("darwin", 2048 * 1024)])
def test_peak_memory_is_in_mebibytes_on_every_system(monkeypatch, system, peak):
    """Linux counts kibibytes, macOS bytes."""
    monkeypatch.setattr(record.sys, "platform", system)
    monkeypatch.setattr(record.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=peak))
    assert record.peak_mib() == 2.0


def test_a_second_run_has_the_same_identity_and_digest(project):
    before = documents.collect(project)["results/a.txt"]
    assert job("first", "raw.txt", "results/a.txt") == 0
    after = documents.collect(project)["results/a.txt"]
    assert (before.identity, before.digest) == (after.identity, after.digest)


@pytest.mark.parametrize(
    ("file", "kind"),
    [("results/a.txt", "changed"), ("results/b.txt", "changed"), ("raw.txt", "stale"), ("double.py", "stale"),
     ("env.lock", "stale")],
)  # fmt: skip
def test_one_changed_byte_of_a_result_an_input_or_a_script_is_caught_and_named(project, file, kind):
    path = project / file
    body = bytearray(path.read_bytes())
    body[0] ^= 1
    path.write_bytes(bytes(body))
    found = verify(project)
    assert (file, kind) in {(finding.path, finding.kind) for finding in found}


def test_a_touch_is_no_change(project):
    for path in project.rglob("*"):
        os.utime(path)
    assert verify(project) == []


def test_intact_results_beside_newer_sources_are_adopted_and_others_are_not(project):
    second = project / "results/b.txt"
    before = second.stat().st_mtime_ns
    assert adopt(project) == []
    later = time.time_ns() + 10**9
    os.utime(project / "raw.txt", ns=(later, later))
    (project / "results/b.txt").write_text("edited")
    edited = second.stat().st_mtime_ns
    assert adopt(project) == ["results/a.txt", "results/first.prov.json"]
    assert (project / "results/a.txt").stat().st_mtime_ns > before
    assert second.stat().st_mtime_ns == edited


def test_a_missing_result_is_named(project):
    (project / "results/b.txt").unlink()
    assert kinds(project) == {"results/b.txt": "missing"}


def test_a_file_without_a_document_is_named_but_not_logs_timings_or_the_readme(project):
    for name in ("stray.csv", "deep/er.csv", "logs/x.log", "timings/x.tsv", "README.md"):
        (project / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "results" / name).write_text("x")
    assert kinds(project) == {"results/stray.csv": "uncovered", "results/deep/er.csv": "uncovered"}


def test_a_result_whose_document_is_gone_is_uncovered(project):
    (project / "results/second.prov.json").unlink()
    assert kinds(project) == {"results/b.txt": "uncovered"}


def test_a_file_claimed_by_two_documents_is_named(project):
    assert job("third", "raw.txt", "results/b.txt") == 0
    assert kinds(project)["results/b.txt"] in ("covered twice", "changed")
    assert "covered twice" in {finding.kind for finding in verify(project)}
    with pytest.raises(LabError, match=r"results/b\.txt: covered by two documents"):
        documents.collect(project)


def test_an_edited_document_is_caught(project):
    path = project / "results/first.prov.json"
    body = json.loads(path.read_text())
    body["identity"]["params"] = {"seed": "1"}
    path.write_text(json.dumps(body))
    assert kinds(project) == {"results/first.prov.json": "forged"}


def test_a_broken_document_is_named(project):
    (project / "results/first.prov.json").write_text("{")
    found = kinds(project)
    assert found["results/first.prov.json"] == "unreadable"
    assert found["results/a.txt"] == "uncovered"


def test_checking_one_file_checks_all_it_was_made_from_and_nothing_else(project):
    (project / "raw.txt").write_text("other")
    (project / "results/stray.csv").write_text("x")
    assert kinds(project, files=["results/b.txt"]) == {"raw.txt": "stale"}


def test_a_failing_job_leaves_its_log_and_no_document(project):
    Path("double.py").write_text("import sys; print('no luck'); sys.exit(3)\n")
    before = Path("results/first.prov.json").read_bytes()
    assert job("first", "raw.txt", "results/a.txt") == 3
    assert Path("results/first.prov.json").read_bytes() == before
    log = Path("results/logs/first.log").read_text()
    assert "no luck" in log
    assert "exit status 3" in log


def test_a_job_that_writes_no_output_is_an_error_that_names_it(project):
    Path("double.py").write_text("pass\n")
    with pytest.raises(LabError, match=r"results/c\.txt: rule third ended without writing it"):
        main(wrapped("third", ["double.py", "env.lock"], "results/c.txt", ["python", "double.py"]))
    assert not Path("results/third.prov.json").exists()


def test_a_rule_that_does_not_list_its_code_is_refused(project):
    with pytest.raises(LabError, match=r"double\.py: rule third depends on it but does not list it"):
        main(wrapped("third", ["env.lock"], "results/c.txt", ["python", "double.py"]))


def test_show_tells_the_chain_back_to_the_raw_data(project):
    text = describe(project, "results/b.txt")
    assert text.index("by rule second") < text.index("by rule first") < text.index("raw.txt  (given")
    with pytest.raises(LabError, match="no provenance document covers it"):
        describe(project, "results/none.txt")


def test_verify_from_the_command_line_exits_with_1_and_names_the_file(project):
    command = [sys.executable, "-m", "vllm_lab.provenance", "verify", "results/"]
    assert subprocess.run(command, check=False).returncode == 0
    (project / "results/a.txt").write_text("other")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "results/a.txt: changed" in done.stdout


def test_code_of_a_script_is_what_it_imports_at_any_depth(tmp_path):
    package = tmp_path / "src/vllm_lab/part"
    package.mkdir(parents=True)
    (tmp_path / "src/vllm_lab/__init__.py").write_text("")
    (tmp_path / "src/vllm_lab/other.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "used.py").write_text("def f():\n    from vllm_lab.part.late import g\n")
    (package / "late.py").write_text("g = 1\n")
    (package / "unused.py").write_text("")
    (package / "page.html").write_text("")
    (tmp_path / "s.py").write_text("import json\nfrom vllm_lab.part import used\n")
    assert code_of("s.py", tmp_path) == [
        "s.py",
        "src/vllm_lab/__init__.py",
        "src/vllm_lab/part/__init__.py",
        "src/vllm_lab/part/late.py",
        "src/vllm_lab/part/page.html",
        "src/vllm_lab/part/used.py",
    ]
