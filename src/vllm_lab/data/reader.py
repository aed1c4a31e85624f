"""Reading records from a JSON array, JSON Lines or a single object that may be damaged or cut off.

The text is a sequence of values. A list at the top level is an array of records, and any other value is a
record. So one loop reads arrays, JSON Lines, one pretty-printed object, and several objects one after
another.
"""

import codecs
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vllm_lab.common.errors import LabError

CHUNK = 4 << 20  # bytes

MAX_RECORD = 64 << 20  # characters; the longest record of ShareGPT has 0.5 million

_LOOKAHEAD = 64  # characters; no token of JSON whose end may be missing is longer, strings aside
_ARRAY_RECORD = re.compile(r'\{\s*"(?:id|conversations|messages)"\s*:|^\{', re.MULTILINE)
_LINE = re.compile(r"(?<=\n)(?=[^\n])")
_BETWEEN_RECORDS = re.compile(r"[\s,\ufeff]*")
_BETWEEN_VALUES = re.compile(r"[\s\ufeff]*")
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity", ".", "e+", "E+", "e-", "E-")
_DECODER = json.JSONDecoder()
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


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the file: its number, and its value, or what is wrong and where."""

    index: int
    value: Any = None
    fault: str | None = None  # the rule's name: invalid_json or truncated_record
    detail: str = ""  # with the record's offset in bytes
    damaged_utf8: bool = False


class Reader:
    """Iterates over the records of `path` in file order and holds at most a chunk or one record in memory.

    After the iteration, `array_not_closed` says whether the file ended before an array's closing bracket.
    Raises LabError where the file is not JSON at all.
    """

    def __init__(self, path: str | os.PathLike, chunk: int = CHUNK) -> None:
        self.path = Path(path)
        self.array_not_closed = False
        self._chunk = chunk
        self._position = 0
        self._in_array = False
        self._index = 0

    def __iter__(self) -> Iterator[Record]:
        check_is_text(self.path)
        with self.path.open("rb") as file:
            self._source = Source(file, self._chunk)
            while self._find_value():
                record = self._read_value()
                if self._index == 0:
                    self._check_is_json(record)
                self._index += 1
                yield record
        self.array_not_closed |= self._in_array

    def _find_value(self) -> bool:
        """Move to the start of the next record, into and out of arrays; False at the end of the file."""
        while True:
            between = _BETWEEN_RECORDS if self._in_array else _BETWEEN_VALUES
            self._position = between.match(self._source.text, self._position).end()
            if self._position == len(self._source.text):
                if self._source.ended:
                    return False
                self._refill()
            elif self._source.text[self._position] == ("]" if self._in_array else "["):
                self._in_array = not self._in_array
                self._position += 1
            else:
                return True

    def _read_value(self) -> Record:
        """Decode the value at the position and move behind it; a broken one gives a record with a fault."""
        while True:
            source, start = self._source, self._position
            try:
                value, end = _DECODER.raw_decode(source.text, start)
                damaged = source.is_damaged(start, end)
                if damaged:
                    value, _ = _DECODER.raw_decode(replace_bad_bytes(source.text[start:end]))
            except json.JSONDecodeError as error:
                if self._may_be_incomplete(error) and not source.ended:
                    self._refill()
                    continue
                return self._broken(error.msg, cut_off=self._reaches_end(error))
            except RecursionError:
                return self._broken("nested too deeply", cut_off=False)
            except ValueError as error:  # a whole number of more digits than Python converts
                return self._broken(str(error), cut_off=False)
            if isinstance(value, int | float) and end > len(source.text) - _LOOKAHEAD and not source.ended:
                self._refill()  # a bare number may go on
                continue
            self._position = end
            return Record(self._index, value, damaged_utf8=damaged)

    def _broken(self, message: str, cut_off: bool) -> Record:
        """The record for a value that cannot be read; moves to where the next record may begin."""
        offset = self._source.byte_offset(self._position)
        found_next = self._resume()
        if not found_next and not cut_off and self._source.text.rstrip().endswith("]"):
            self._in_array = False  # the broken stretch has swallowed the bracket
        fault = "truncated_record" if cut_off and not found_next else "invalid_json"
        reason = message.removesuffix(" starting at")
        return Record(self._index, fault=fault, detail=f"record at byte {offset}: {reason}")

    def _may_be_incomplete(self, error: json.JSONDecodeError) -> bool:
        """Whether this error could disappear when more text is read."""
        if len(self._source.text) - self._position > MAX_RECORD:
            return False
        return self._is_open_string(error) or error.pos >= len(self._source.text) - _LOOKAHEAD

    def _reaches_end(self, error: json.JSONDecodeError) -> bool:
        """Whether the text ends inside the value, rather than having something wrong before its end."""
        if not self._source.ended:
            return False
        rest = self._source.text[error.pos :].strip()
        unfinished_word = any(word.startswith(rest) for word in _WORDS)
        unfinished_escape = error.msg.startswith("Invalid \\") and '"' not in rest
        return self._is_open_string(error) or unfinished_word or unfinished_escape

    @staticmethod
    def _is_open_string(error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string")

    def _resume(self) -> bool:
        """Move from a broken record to the next place where one may begin; False if there is none.

        In an array this is the next object that begins with one of the known keys, or a line that begins with
        an object. Neither can occur within a string, where quotes and line ends are escaped. Elsewhere it is
        the next line.
        """
        pattern = _ARRAY_RECORD if self._in_array else _LINE
        self._position += 1
        while True:
            found = pattern.search(self._source.text, self._position)
            if found:
                self._position = found.start()
                return True
            length = len(self._source.text)
            if self._source.ended:
                self._position = length
                return False
            self._position = max(self._position, length - _LOOKAHEAD)
            self._refill()

    def _refill(self) -> None:
        """Read more text, and drop the text before the position except for one character."""
        behind = max(0, self._position - 1)  # patterns look one character back
        self._source.discard(behind)
        self._position -= behind
        self._source.more()

    def _check_is_json(self, first: Record) -> None:
        if first.fault is None:
            return
        with self.path.open("rb") as file:
            head = replace_bad_bytes(file.read(60).decode("utf-8", "surrogateescape"))
        if head.lstrip("\ufeff \t\r\n").startswith(("[", "{")):
            return
        raise LabError(
            f"{self.path}: not JSON: it begins with {head!r}; give a JSON array, JSON Lines or one object"
        )


class Source:
    """The unread part of a UTF-8 file as `text`; `more` appends to it, `discard` drops its beginning.

    Each byte that is not UTF-8 is in `text` as a lone surrogate from U+DC80 to U+DCFF (Python's
    surrogateescape), so that offsets stay exact; `replace_bad_bytes` turns them into U+FFFD.
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
        """Append the next chunk, at least as long as `text`, so that rereading stays linear in total."""
        raw = self._file.read(max(self._chunk, len(self.text)))
        if not raw:
            self.ended = True
        decoded = self._decoder.decode(raw, final=not raw)
        # Bad bytes are rare, so chunks of pure ASCII are not searched for them.
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


def replace_bad_bytes(text: str) -> str:
    """Replace each sequence of bytes that is not UTF-8 by U+FFFD, as the Unicode standard recommends."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def check_is_text(path: str | os.PathLike) -> None:
    """Raise LabError for a missing, empty or binary file; it names the kind of file and the way out."""
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
        raise LabError(f"{path}: this is binary or UTF-16 text; give JSON in UTF-8")
