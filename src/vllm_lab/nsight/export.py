"""The SQLite export of a capture, as tables that look alike whichever nsys wrote it.

nsys makes a table only where it has a row for it, and adds columns from version to version
(docs.nvidia.com/nsight-systems/UserGuide, "SQLite Schema Reference"). Times are ns.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cached_property
from pathlib import Path

import pandas as pd

from vllm_lab.common.errors import LabError

PUSH_POP, START_END, DOMAIN = 59, 60, 75  # NVTX_EVENTS.eventType
THREAD_BITS = 24  # a globalTid is hypervisor and virtual machine, process, thread; of these bits the thread

NVTX, OS_CALLS, CUDA = "NVTX_EVENTS", "OSRT_API", "CUPTI_ACTIVITY_KIND_"
KERNELS, COPIES, FILLS, CALLS = (CUDA + kind for kind in ("KERNEL", "MEMCPY", "MEMSET", "RUNTIME"))
ABSENT = {
    NVTX: "no NVTX range was traced (nvtx 0.2.13 and later are deaf to an nsys of 2022)",
    OS_CALLS: "no call to an OS runtime library was traced",
    KERNELS: "no CUDA kernel was traced",
    COPIES: "no CUDA memory copy was traced",
    FILLS: "no CUDA memory fill was traced",
    CALLS: "no CUDA call was traced",
}


class Missing(Exception):
    """The capture lacks what a number needs; the text says what and why."""


class Export:
    """A read-only view of one export; tables are read when asked for, Missing where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def ranges(self) -> pd.DataFrame:
        """Closed NVTX ranges in order of start: domain, name, start, end, thread (a globalTid)."""
        events = self._table(NVTX, "eventType", "textId", "globalTid", "domainId")
        events["name"] = self._named(events, "textId", "text")
        process = events["globalTid"] // 2**THREAD_BITS
        domains = events[events["eventType"] == DOMAIN]
        names = dict(
            zip(zip(process[domains.index], domains["domainId"], strict=True), domains["name"], strict=True)
        )
        events["domain"] = [
            names.get(key, "") for key in zip(process, events["domainId"].fillna(0), strict=True)
        ]
        found = events[events["eventType"].isin((PUSH_POP, START_END)) & events["end"].notna()]
        if found.empty:
            raise Missing(f"{NVTX} holds no closed range: {ABSENT[NVTX]}")
        return self._spans(found.rename(columns={"globalTid": "thread"}), "domain", "name", "thread")

    @cached_property
    def os_calls(self) -> pd.DataFrame:
        """Outermost calls to OS runtime libraries: name, start, end, thread."""
        calls = self._table(OS_CALLS, "nameId", "globalTid")
        calls["name"] = self._named(calls, "nameId")
        if "nestingLevel" in calls:
            calls = calls[calls["nestingLevel"].fillna(0) == 0]
        calls = calls[calls["end"] > calls["start"]]  # nsys notes in this table when it began to trace, too
        return self._spans(calls.rename(columns={"globalTid": "thread"}), "name", "thread")

    @cached_property
    def kernels(self) -> pd.DataFrame:
        """CUDA kernels: name, long_name (with its template arguments, which often tell more), start, end."""
        kernels = self._table(KERNELS, "shortName", "demangledName")
        kernels["name"] = self._named(kernels, "shortName")
        kernels["long_name"] = self._named(kernels, "demangledName").fillna(kernels["name"])
        return self._spans(kernels, "name", "long_name")

    @cached_property
    def copies(self) -> pd.DataFrame:
        """CUDA memory copies: kind, bytes, start, end."""
        copies = self._table(COPIES, "copyKind", "bytes")
        copies["kind"] = self._enumerated(copies["copyKind"], "ENUM_CUDA_MEMCPY_OPER")
        return self._spans(copies, "kind", "bytes")

    @cached_property
    def fills(self) -> pd.DataFrame:
        """CUDA memory fills: start, end."""
        return self._spans(self._table(FILLS))

    @cached_property
    def cuda_calls(self) -> pd.DataFrame:
        """Calls to the CUDA runtime and driver: name, start, end, thread."""
        calls = self._table(CALLS, "nameId", "globalTid")
        calls["name"] = self._named(calls, "nameId")
        return self._spans(calls.rename(columns={"globalTid": "thread"}), "name", "thread")

    def _table(self, name: str, *columns: str) -> pd.DataFrame:
        """The whole table. Missing where it, or one of the `columns` or of its times, is not there."""
        if name not in self._tables:
            if name.startswith(CUDA) and not any(table.startswith(CUDA) for table in self._tables):
                raise Missing(
                    f"nothing of CUDA was traced; no GPU, or nsys too old for it (no table {CUDA}*)"
                )
            raise Missing(f"{ABSENT[name]} (no table {name})")
        table = self._read(name)
        lacking = {"start", "end", *columns}.difference(table.columns)
        if lacking:
            raise Missing(f"table {name} of this nsys has no column {', '.join(sorted(lacking))}")
        return table

    @cached_property
    def _tables(self) -> set[str]:
        return set(self._read("sqlite_master", "name").loc[:, "name"])

    @cached_property
    def _strings(self) -> pd.Series:
        return self._read("StringIds").set_index("id")["value"]

    def _named(self, table: pd.DataFrame, id_column: str, text_column: str = "") -> pd.Series:
        """The text behind an id of StringIds; nsys writes some texts in place."""
        names = table[id_column].map(self._strings)
        return names.fillna(table[text_column]) if text_column in table else names

    def _enumerated(self, values: pd.Series, enumeration: str) -> pd.Series:
        """An enumeration's labels; the bare numbers where the export has no table of it."""
        if enumeration not in self._tables:
            return values.astype(str)
        known = self._read(enumeration).set_index("id")["label"]
        return values.map(known).fillna(values.astype(str))

    def _read(self, table: str, columns: str = "*") -> pd.DataFrame:
        try:
            with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
                return pd.read_sql_query(f'SELECT {columns} FROM "{table}"', connection)
        except (sqlite3.DatabaseError, pd.errors.DatabaseError) as error:
            raise LabError(f"{self.path}: not an export of nsys ({error}); run its capture again") from error

    @staticmethod
    def _spans(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
        spans = table[[*columns, "start", "end"]].sort_values(["start", "end"], kind="stable")
        return spans.astype({"start": "int64", "end": "int64"}).reset_index(drop=True)
