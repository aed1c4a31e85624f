"""The SQLite export of a capture, as tables in one form for every version of nsys, and the steps in it.

nsys makes a table only where it has a row for it, and adds columns from version to version
(docs.nvidia.com/nsight-systems/UserGuide, "SQLite Schema Reference"). Times are ns.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from vllm_lab.common.errors import LabError

PUSH_POP, START_END, DOMAIN = 59, 60, 75  # NVTX_EVENTS.eventType
THREAD_BITS = 24  # a globalTid is hypervisor and virtual machine, process, thread; of these bits the thread

NVTX, OS_CALLS, CUDA = "NVTX_EVENTS", "OSRT_API", "CUPTI_ACTIVITY_KIND_"
KERNELS, COPIES, FILLS, CALLS = (CUDA + kind for kind in ("KERNEL", "MEMCPY", "MEMSET", "RUNTIME"))
ABSENT = {
    NVTX: "no NVTX range was traced (nvtx 0.2.13 and later do not record for an nsys of 2022)",
    OS_CALLS: "no call to an OS runtime library was traced",
    KERNELS: "no CUDA kernel was traced",
    COPIES: "no CUDA memory copy was traced",
    FILLS: "no CUDA memory fill was traced",
    CALLS: "no CUDA call was traced",
}

STEP, EXECUTE, FORWARD = "engine.step", "model.execute.", "model.forward"
DOMAINS = ("vllm_lab", "mini_vllm")  # the domains whose ranges are parts of a step
PREFILL = ("prefill", "mixed")  # the kinds of steps in which a request prefills


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
        domains = list(zip(process, events["domainId"].fillna(0), strict=True))  # a domain is a process' own
        rows = zip(events["eventType"], domains, events["name"], strict=True)
        names = {domain: name for event, domain, name in rows if event == DOMAIN}
        events["domain"] = [names.get(domain, "") for domain in domains]
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
        calls = calls[calls["end"] > calls["start"]]  # nsys also writes here when it began to trace
        return self._spans(calls.rename(columns={"globalTid": "thread"}), "name", "thread")

    @cached_property
    def kernels(self) -> pd.DataFrame:
        """CUDA kernels: name, long_name (with its template arguments, which often say more), start, end."""
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
    def gpu_work(self) -> pd.DataFrame:
        """When the GPU was at work, without overlap: start, end. Missing where no kernel was traced."""
        spans = [self.kernels]
        for name in ("copies", "fills"):
            with suppress(Missing):  # a run may copy or fill nothing
                spans.append(getattr(self, name))
        return union(*spans)

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
                raise Missing(f"CUDA was not traced: no GPU, or nsys is too old for it (no table {CUDA}*)")
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


@dataclass(frozen=True)
class Steps:
    """The steps of a capture. `table`: a row for each, in order: start, end (ns), kind ("": no model)."""

    export: Export
    table: pd.DataFrame
    thread: int

    @classmethod
    def of(cls, export: Export) -> Steps:
        """The steps that ran something. Missing where the capture has none."""
        ranges = export.ranges
        own = ranges[ranges["domain"].isin(DOMAINS)]
        table = own[own["name"] == STEP][["start", "end", "thread"]].reset_index(drop=True)
        if table.empty:
            raise Missing(f"no range {STEP} in the capture")
        executed = own[own["name"].str.startswith(EXECUTE)]
        kinds = executed["name"].str.removeprefix(EXECUTE)
        table["kind"] = kinds.groupby(_inside(executed["start"], table)).first().reindex(table.index)
        if len(executed):
            table = table[table["kind"].notna() & (table["kind"] != "empty")].reset_index(drop=True)
            if table.empty:
                raise Missing("no step of the capture ran anything")
        return cls(export, table.fillna({"kind": ""}), int(table["thread"].iloc[0]))

    def decode(self) -> pd.Series:
        """Which steps only decode. Missing where no step does."""
        return self._of_kind("decode")

    def prefill(self) -> pd.Series:
        """Which steps have a request that prefills. Missing where no step does."""
        return self._of_kind(*PREFILL)

    @cached_property
    def seconds(self) -> pd.Series:
        """The seconds of each step."""
        return seconds_of(self.table)

    @cached_property
    def parts(self) -> pd.DataFrame:
        """This project's ranges within steps: step (its row), name, start, end, seconds."""
        ranges = self.export.ranges
        own = ranges["domain"].isin(DOMAINS) & (ranges["thread"] == self.thread)
        return self.inside(ranges[own & (ranges["name"] != STEP)])

    def inside(self, spans: pd.DataFrame) -> pd.DataFrame:
        """The spans that begin within a step, with the step's row and their seconds."""
        row = _inside(spans["start"], self.table)
        placed = spans.assign(step=row, seconds=seconds_of(spans))
        return placed[placed["step"] >= 0]

    def seconds_in(self, name: str) -> pd.Series:
        """Seconds of each step in this project's ranges `name`. Missing where the capture has none."""
        found = self.parts[self.parts["name"] == name]
        if found.empty:
            raise self.lacking(f"no range {name} in the capture's steps")
        return found.groupby("step")["seconds"].sum().reindex(self.table.index, fill_value=0.0)

    def lacking(self, what: str) -> Missing:
        """The error for a missing number: `what`, or where no model ran, that."""
        return Missing(what if (self.table["kind"] != "").any() else "no model runs in this engine")

    def busy_seconds(self, spans: pd.DataFrame) -> pd.Series:
        """Seconds of each step covered by `spans`, which do not overlap."""
        starts, ends = spans["start"].to_numpy(), spans["end"].to_numpy()
        covered = np.concatenate([[0], np.cumsum(ends - starts)])

        def until(moment: int) -> int:
            """ns covered before `moment`."""
            row = int(np.searchsorted(starts, moment, side="right"))
            return int(covered[row]) - max(0, int(ends[row - 1]) - moment if row else 0)

        spans_of_steps = zip(self.table["start"], self.table["end"], strict=True)
        return pd.Series([(until(end) - until(start)) / 1e9 for start, end in spans_of_steps])

    def _of_kind(self, *kinds: str) -> pd.Series:
        chosen = self.table["kind"].isin(kinds)
        if not chosen.any():
            raise self.lacking(f"no {' or '.join(kinds)} step in the capture")
        return chosen


def seconds_of(spans: pd.DataFrame) -> pd.Series:
    """How long each span takes (s)."""
    return (spans["end"] - spans["start"]) / 1e9


def union(*tables: pd.DataFrame) -> pd.DataFrame:
    """The spans of all tables, joined where they touch or overlap: start, end (ns)."""
    spans = pd.concat([table[["start", "end"]] for table in tables]).sort_values("start")
    reached = spans["end"].cummax()
    new = spans["start"].gt(reached.shift(fill_value=-(2**62)))
    return spans.groupby(new.cumsum()).agg({"start": "min", "end": "max"}).reset_index(drop=True)


def _inside(moments: pd.Series, steps: pd.DataFrame) -> pd.Series:
    """The row of the step around each moment; -1 where there is none. Steps do not overlap."""
    row = np.searchsorted(steps["start"].to_numpy(), moments.to_numpy(), side="right") - 1
    ended = moments.to_numpy() >= steps["end"].to_numpy()[np.maximum(row, 0)]
    return pd.Series(np.where((row < 0) | ended, -1, row), index=moments.index, dtype="int64")
