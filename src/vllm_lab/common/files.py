"""Files are written whole or not at all, and with the same bytes on every machine."""

import csv
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from vllm_lab.common.errors import LabError


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` on success, remove it on failure.

    Temporary files that a killed writer left are removed too. No file here has two writers at a time.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def canonical_json(value: Any) -> str:
    """The one JSON text of a value that digests are made from: sorted keys, no NaN, no spaces."""
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; the same value always gives the same bytes."""
    write_text(path, json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=1) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file; a missing or broken one is a LabError that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise LabError(
            f"{path}: not valid JSON ({error}); delete it and run the rule that makes it again"
        ) from error


def flat(settings: Any, key: str = "") -> dict[str, Any]:
    """Dotted key -> value of nested settings, in their order. Lists and empty mappings are values."""
    if not isinstance(settings, Mapping) or not settings:
        return {key: settings}
    parts = ((f"{key}.{name}" if key else str(name), part) for name, part in settings.items())
    return {inner: value for name, part in parts for inner, value in flat(part, name).items()}


def write_csv(path: str | os.PathLike, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV. Floats have the shortest form that reads back to the same double."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_csv(path: str | os.PathLike) -> list[dict[str, str]]:
    """The rows of a CSV file as text by column; "" where a row is too short."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, restval=""))


def write_zip(path: str | os.PathLike, members: Mapping[str, Path | bytes]) -> None:
    """Pack files and bytes under the given names. The same contents always give the same zip file."""
    with atomic_path(path) as partial, ZipFile(partial, "w") as packed:
        for name, content in members.items():
            entry = ZipInfo(name)
            runs = isinstance(content, Path) and os.access(content, os.X_OK)
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, (0o755 if runs else 0o644) << 16
            with packed.open(entry, "w", force_zip64=True) as target:
                if isinstance(content, bytes):
                    target.write(content)
                else:
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, target, 2**20)


def sha256_file(path: str | os.PathLike) -> str:
    """The file's sha256 as a hexadecimal string."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
