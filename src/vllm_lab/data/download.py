"""Downloading a large file over HTTP: streamed, resumed, retried with increasing pauses, checked by hash."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import sha256_file, write_json

HUB = "https://huggingface.co"

_MIB = 1 << 20  # bytes
_FRUITLESS_ATTEMPTS = 8  # successive attempts that receive no byte
_LONGEST_PAUSE_S = 60.0
_TIMEOUT_S = 60.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses that may pass


class _Interrupted(Exception):
    """The transfer did not complete; another attempt may help."""


def hub_url(repo: str, revision: str, file: str, endpoint: str | None = None) -> str:
    """The address of a file of a data set on the Hugging Face hub, or on a mirror of it (`endpoint`)."""
    return f"{(endpoint or HUB).rstrip('/')}/datasets/{repo}/resolve/{revision}/{file}"


def download(url: str, output: str | os.PathLike, sha256: str, pause_s: float = 1.0) -> None:
    """Download `url` to `output`; the file appears there only when it is complete and has that sha256.

    The part that was received is kept in `.NAME.part` in the same folder. The next attempt or call continues
    from there, if the server can and the file is still the same (RFC 9110, 14.2 and 13.1.5). Pauses between
    attempts begin at `pause_s` seconds and double; eight successive attempts without a new byte end the
    download. Raises LabError where the server refuses or the disk is too small, and for another hash; then
    the part is removed.
    """
    transfer = _Transfer(url, Path(output))
    attempts = Retrying(
        retry=retry_if_exception_type((httpx.TransportError, _Interrupted)),
        stop=lambda state: transfer.fruitless >= _FRUITLESS_ATTEMPTS,
        wait=lambda state: min(pause_s * 2 ** max(0, transfer.fruitless - 1), _LONGEST_PAUSE_S),
        before_sleep=_log_pause,
        reraise=True,
    )
    try:
        attempts(transfer.attempt)
    except (httpx.TransportError, _Interrupted) as error:
        raise LabError(
            f"{url}: gave up after {_FRUITLESS_ATTEMPTS} attempts without progress ({_words(error)}); the "
            "received part is kept: run it again to continue, or take another source"
        ) from error
    transfer.finish(sha256)


class _Transfer:
    """The received part of one file."""

    def __init__(self, url: str, output: Path) -> None:
        self.url = url
        self.output = output
        self.fruitless = 0  # successive attempts that received no byte
        self._part = output.with_name(f".{output.name}.part")
        self._origin = output.with_name(f".{output.name}.part.json")
        output.parent.mkdir(parents=True, exist_ok=True)
        if self._known().get("url") != url:
            self._forget()

    def attempt(self) -> None:
        """Fetch the missing part. Raises _Interrupted or TransportError where another attempt may help."""
        before = self._size()
        try:
            with (
                httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S) as client,
                client.stream("GET", self.url, headers=self._headers(before)) as response,
            ):
                self._take(response, before)
        finally:
            self.fruitless = 0 if self._size() > before else self.fruitless + 1

    def finish(self, sha256: str) -> None:
        """Check the whole file's hash and move it to its place."""
        found = sha256_file(self._part)
        if found != sha256:
            self._forget()
            raise LabError(
                f"{self.url}: sha256 {found}, expected {sha256}; removed. Check revision and sha256 in the "
                "config, then run it again"
            )
        self._part.replace(self.output)
        self._forget()

    def _headers(self, have: int) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            etag = self._known().get("etag")
            if etag:
                headers["If-Range"] = etag
        return headers

    def _take(self, response: httpx.Response, have: int) -> None:
        """Append or restart, depending on the status of the answer; a complete file needs no more."""
        status = response.status_code
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _in_range(response, r"bytes \*/(\d+)$") == have:
                return
            self._forget()
            raise _Interrupted(f"the server has no byte {have} of the file; starting over")
        if status in _PASSING:
            raise _Interrupted(f"status {status}")
        if status == httpx.codes.PARTIAL_CONTENT and _in_range(response, r"bytes (\d+)-") == have:
            self._append(response, have)
        elif status == httpx.codes.OK:
            self._forget()
            self._append(response, 0)
        else:
            raise LabError(
                f"{self.url}: the server answered {status} {response.reason_phrase}; check repository, "
                "revision, file and endpoint in the config, or take another source"
            )

    def _append(self, response: httpx.Response, have: int) -> None:
        length = response.headers.get("Content-Length")
        self._check_space(int(length or 0))
        etag = response.headers.get("ETag", "")
        # If-Range allows only a strong validator (RFC 9110, 13.1.5).
        write_json(self._origin, {"url": self.url, "etag": "" if etag.startswith("W/") else etag})
        with self._part.open("ab") as part:
            marks = _written(response, part)
            total = int(length) // _MIB if length else None
            for _ in console.progress(marks, desc=self.output.name, total=total, unit="MiB"):
                pass
        if length and self._size() != have + int(length):
            raise _Interrupted(f"{self._size() - have} of {length} bytes received")

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.output.parent).free
        if free < needed:
            raise LabError(
                f"{self.output.parent}: {needed >> 20} MiB are needed and {free >> 20} MiB are free; make "
                "room"
            )

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _known(self) -> dict[str, str]:
        """Where the part came from; empty if that is unknown."""
        try:
            return json.loads(self._origin.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)


def _written(response: httpx.Response, part: BinaryIO) -> Iterator[None]:
    """Write the body as it arrives, so that a broken connection loses nothing; yield once for each MiB."""
    pending = 0
    for piece in response.iter_raw():
        part.write(piece)
        pending += len(piece)
        while pending >= _MIB:
            pending -= _MIB
            yield


def _in_range(response: httpx.Response, pattern: str) -> int | None:
    """The number that `pattern` finds in the header Content-Range."""
    match = re.match(pattern, response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _log_pause(state: RetryCallState) -> None:
    error = state.outcome.exception()
    console.log(f"download interrupted ({_words(error)}); continuing in {state.next_action.sleep:.0f} s")


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
