"""A raw data file as a growing window of text: bounded memory, exact byte offsets, damaged UTF-8 marked."""

import codecs
import os
import re
from pathlib import Path
from typing import BinaryIO

from vllm_lab.common.errors import LabError

CHUNK = 4 << 20  # bytes

_BAD_BYTES = re.compile("[\udc80-\udcff]")
_SIGNATURES = (
    (b"\xff\xfe", "UTF-16 or UTF-32 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    (b"\xfe\xff", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "convert it: iconv -f UTF-32 -t UTF-8 FILE > NEW"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first: gunzip FILE"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it first: zstd -d FILE"),
    (b"PK\x03\x04", "a zip archive or wheel", "unpack it first: unzip FILE"),
    (b"PAR1", "a Parquet file", "export it as JSON Lines first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data", "fetch the file itself: git lfs pull"),
)


class Source:
    """The unread part of a UTF-8 file as `text`; `more` appends to it, `discard` drops what has been read.

    Bytes that are not UTF-8 stand in `text` as lone surrogates U+DC80 to U+DCFF, one a byte (Python's
    surrogateescape), so that offsets stay exact; `mend` turns them into U+FFFD.
    """

    def __init__(self, file: BinaryIO, chunk: int = CHUNK) -> None:
        self._file = file
        self._chunk = chunk
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._byte_offset = 0  # of text[0] in the file
        self._damaged = False
        self.text = ""
        self.ended = False

    def more(self) -> None:
        """Append the next chunk to `text`; at least as much as is there already, so that rereads add up."""
        raw = self._file.read(max(self._chunk, len(self.text)))
        if not raw:
            self.ended = True
        decoded = self._decoder.decode(raw, final=not raw)
        # A few bad bytes among gigabytes: the search is skipped for chunks of pure ASCII.
        self._damaged |= not decoded.isascii() and _BAD_BYTES.search(decoded) is not None
        self.text += decoded

    def discard(self, length: int) -> None:
        """Drop the first `length` characters of `text`."""
        self._byte_offset = self.byte_offset(length)
        self.text = self.text[length:]

    def byte_offset(self, position: int) -> int:
        """The offset in the file (bytes) of character `position` of `text`."""
        return self._byte_offset + len(self.text[:position].encode("utf-8", "surrogateescape"))

    def is_damaged(self, start: int, end: int) -> bool:
        """Whether any byte of text[start:end] was not valid UTF-8."""
        return self._damaged and _BAD_BYTES.search(self.text, start, end) is not None


def mend(text: str) -> str:
    """Replace each stretch of bytes that are not UTF-8 by U+FFFD, as the Unicode standard recommends."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def check_is_text(path: str | os.PathLike) -> None:
    """Raise LabError for a missing, empty or evidently binary file, saying what it is and the way out."""
    path = Path(path)
    if not path.is_file():
        raise LabError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise LabError(f"{path}: the file is empty; fetch it again")
    for signature, what, way_out in _SIGNATURES:
        if head.startswith(signature):
            raise LabError(f"{path}: this is {what}; {way_out.replace('FILE', path.name)}")
    if b"\x00" in head:
        raise LabError(f"{path}: this is binary or UTF-16 text; JSON in UTF-8 is read here")
