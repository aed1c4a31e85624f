"""The hub's route, against a server on this machine that answers as the hub does."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import data_model as script
import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.data import sources

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def breaking() -> set[str]:
    """The names of the files that the hub announces and then does not send."""
    return set()


@pytest.fixture
def endpoint(tiny, breaking, monkeypatch):
    """The address of a hub that holds the tiny checkpoint as me/tiny at COMMIT, and a file nobody needs."""
    (tiny / "pytorch_model.bin").write_bytes(b"not wanted")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == f"/api/models/me/tiny/revision/{COMMIT}":
                siblings = [{"rfilename": file.name} for file in sorted(tiny.iterdir())]
                self._answer(json.dumps({"id": "me/tiny", "sha": COMMIT, "siblings": siblings}).encode())
            elif path.startswith(f"/api/models/me/tiny/tree/{COMMIT}"):
                self._answer(json.dumps([self._entry(file) for file in sorted(tiny.iterdir())]).encode())
            elif path.startswith(f"/me/tiny/resolve/{COMMIT}/") and (tiny / Path(path).name).is_file():
                self._answer((tiny / Path(path).name).read_bytes())
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _entry(self, file: Path) -> dict:
            return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0" * 40}

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET" and Path(self.path).name not in breaking:
                self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def fetch(endpoint: str, outdir: Path, repo: str = "me/tiny", revision: str = COMMIT) -> None:
    given = (
        f"--source hub --repo {repo} --revision {revision} --endpoint {endpoint} --name Tiny --licence MIT"
    )
    script.main([*given.split(), "--outdir", str(outdir), "--summary", str(outdir / "summary.json")])


def test_a_repository_at_a_commit_comes_without_what_is_not_needed(endpoint, tiny, tmp_path):
    outdir = tmp_path / "results" / "model"
    fetch(endpoint, outdir)
    assert (outdir / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
    assert not (outdir / "pytorch_model.bin").exists()
    assert json.loads((outdir / "summary.json").read_text())["revision_or_version"] == COMMIT
    assert [path.name for path in outdir.parent.iterdir()] == ["model"]


def test_a_repository_that_does_not_exist_is_named_with_the_way_out(endpoint, tmp_path):
    with pytest.raises(LabError, match=rf"me/other at {COMMIT}: the hub's download failed.*check name"):
        fetch(endpoint, tmp_path / "model", repo="me/other")


def test_a_connection_that_breaks_again_and_again_is_named_with_the_way_out(
    endpoint, breaking, tmp_path, monkeypatch
):
    breaking.add("model.safetensors")
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    with pytest.raises(LabError, match=rf"me/tiny at {COMMIT}: the hub's download failed.*check name"):
        fetch(endpoint, tmp_path / "model")


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7]])
def test_a_revision_that_can_move_is_refused(revision, tmp_path):
    with pytest.raises(LabError, match=f"model revision '{revision}': not a commit"):
        sources.fetch("me/tiny", revision, ["*"], tmp_path)
