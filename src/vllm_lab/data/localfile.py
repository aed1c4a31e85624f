"""Data from a file of the user's own."""

import os
import shutil
from pathlib import Path

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path, sha256_file


def copy(source: str | os.PathLike, output: str | os.PathLike, sha256: str | None = None) -> None:
    """Copy a local file to `output`, whole or not at all; its sha256 is checked where given.

    A copy and not a link: what its owner does to the file later must not change a result. Raises LabError
    where the file is missing or its hash is another.
    """
    source = Path(source)
    if not source.is_file():
        raise LabError(f"{source}: no such file; give the path of the raw data")
    with atomic_path(output) as partial:
        shutil.copyfile(source, partial)
        found = sha256_file(partial) if sha256 else None
        if found != sha256:
            raise LabError(
                f"{source}: sha256 {found}, expected {sha256}; give the right file or its own sha256"
            )
