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
TEXT_IDS = ("textId", "nameId", "shortName", "demangledName")  # columns with ids of the table StringIds
LONG_AGO = -(2**62)  # before any capture

CUDA = "CUPTI_ACTIVITY_KIND_"  # the beginning of the names of CUDA's tables
NO_RANGE = "no NVTX range was traced (nvtx 0.2.13 and later do not record for an nsys of 2022)"

STEP, EXECUTE, FORWARD = "engine.step", "model.execute.", "model.forward"
DOMAINS = ("vllm_lab", "mini_vllm")  # the domains whose ranges are parts of a step
DECODE, PREFILL = ("decode",), ("prefill", "mixed")  # kinds of steps; in the latter a request prefills


class Missing(Exception):
    """The capture lacks what a number needs; the text says what and why."""


class Export:
    """A read-only view of one export. A table is read when asked for; Missing where there is none.

    Its rows are in order of start, and each has start and end (ns), and seconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def ranges(self) -> pd.DataFrame:
        """Closed NVTX ranges that have a name: domain, name, thread (a globalTid)."""
        columns = {"name": "textId", "thread": "globalTid", "event": "eventType", "number": "domainId"}
        events = self._table("NVTX_EVENTS", NO_RANGE, **columns)
        if "text" in events:  # nsys writes some names in place
            events["name"] = events["name"].fillna(events["text"])
        process = events["thread"] // 2**THREAD_BITS
        domains = list(zip(process, events["number"].fillna(0), strict=True))  # each process numbers its own
        rows = zip(events["event"], domains, events["name"], strict=True)
        names = {domain: name for event, domain, name in rows if event == DOMAIN}
        events["domain"] = [names.get(domain, "") for domain in domains]
        named = events["event"].isin((PUSH_POP, START_END)) & events["name"].notna()
        ranges = _spans(events[named], "domain", "name", "thread")
        if ranges.empty:
            raise Missing(f"NVTX_EVENTS holds no closed range: {NO_RANGE}")
        return ranges

    @cached_property
    def os_calls(self) -> pd.DataFrame:
        """Outermost calls to OS runtime libraries: name, thread."""
        absence = "no call to an OS runtime library was traced"
        calls = self._table("OSRT_API", absence, name="nameId", thread="globalTid")
        if "nestingLevel" in calls:
            calls = calls[calls["nestingLevel"].fillna(0) == 0]
        calls = calls[calls["end"] > calls["start"]]  # nsys also writes here when it began to trace
        return _spans(calls, "name", "thread")

    @cached_property
    def kernels(self) -> pd.DataFrame:
        """CUDA kernels: name, long_name (with its template arguments, which often say more)."""
        absence = "no CUDA kernel was traced"
        kernels = self._table(f"{CUDA}KERNEL", absence, name="shortName", long_name="demangledName")
        return _spans(kernels.fillna({"long_name": kernels["name"]}), "name", "long_name")

    @cached_property
    def copies(self) -> pd.DataFrame:
        """CUDA memory copies: kind (a bare number where the export does not name the kinds), bytes."""
        absence = "no CUDA memory copy was traced"
        copies = self._table(f"{CUDA}MEMCPY", absence, kind="copyKind", bytes="bytes")
        numbers, copies["kind"] = copies["kind"], copies["kind"].astype(str)
        if "ENUM_CUDA_MEMCPY_OPER" in self._tables:
            labels = self._read("ENUM_CUDA_MEMCPY_OPER").set_index("id")["label"]
            copies["kind"] = numbers.map(labels).fillna(copies["kind"])
        return _spans(copies, "kind", "bytes")

    @cached_property
    def fills(self) -> pd.DataFrame:
        """CUDA memory fills."""
        return _spans(self._table(f"{CUDA}MEMSET", "no CUDA memory fill was traced"))

    @cached_property
    def cuda_calls(self) -> pd.DataFrame:
        """Calls to the CUDA runtime and driver: name, thread."""
        absence = "no CUDA call was traced"
        calls = self._table(f"{CUDA}RUNTIME", absence, name="nameId", thread="globalTid")
        return _spans(calls, "name", "thread")

    @cached_property
    def gpu_work(self) -> pd.DataFrame:
        """When the GPU was at work, without overlap. Missing where no kernel was traced."""
        spans = [self.kernels]
        for name in ("copies", "fills"):
            with suppress(Missing):  # a run may copy or fill nothing
                spans.append(getattr(self, name))
        return union(*spans)

    def _table(self, name: str, absence: str, /, **columns: str) -> pd.DataFrame:
        """The whole table; also, under new names, its `columns`, with the texts behind ids.

        Missing where the table (for `absence`), its times or one of the columns is not there.
        """
        if name not in self._tables:
            if name.startswith(CUDA) and not any(table.startswith(CUDA) for table in self._tables):
                raise Missing(f"CUDA was not traced: no GPU, or nsys is too old for it (no table {CUDA}*)")
            raise Missing(f"{absence} (no table {name})")
        table = self._read(name)
        lacking = {"start", "end", *columns.values()}.difference(table.columns)
        if lacking:
            raise Missing(f"table {name} of this nsys has no column {', '.join(sorted(lacking))}")
        for new, old in columns.items():
            table[new] = table[old].map(self._strings) if old in TEXT_IDS else table[old]
        return table

    @cached_property
    def _tables(self) -> set[str]:
        return set(self._read("sqlite_master")["name"])

    @cached_property
    def _strings(self) -> pd.Series:
        return self._read("StringIds").set_index("id")["value"]

    def _read(self, table: str) -> pd.DataFrame:
        try:
            with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
                return pd.read_sql_query(f'SELECT * FROM "{table}"', connection)
        except (sqlite3.DatabaseError, pd.errors.DatabaseError) as error:
            raise LabError(f"{self.path}: not an export of nsys ({error}); run its capture again") from error


@dataclass(frozen=True)
class Steps:
    """The steps of a capture. `table`: start, end (ns), seconds and kind ("": no model) of each, in order."""

    export: Export
    table: pd.DataFrame
    thread: int

    @classmethod
    def of(cls, export: Export) -> Steps:
        """The steps that ran something. Missing where the capture has none."""
        ranges = export.ranges
        own = ranges[ranges["domain"].isin(DOMAINS)]
        table = own[own["name"] == STEP].reset_index(drop=True)
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

    def which(self, kinds: tuple[str, ...]) -> pd.Series:
        """For each step, whether it is of one of the kinds. Missing where no step is."""
        chosen = self.table["kind"].isin(kinds)
        if not chosen.any():
            raise self.lacking(f"no {' or '.join(kinds)} step in the capture")
        return chosen

    @property
    def seconds(self) -> pd.Series:
        """The seconds of each step."""
        return self.table["seconds"]

    @cached_property
    def parts(self) -> pd.DataFrame:
        """This project's ranges within steps."""
        ranges = self.export.ranges
        own = ranges["domain"].isin(DOMAINS) & (ranges["thread"] == self.thread)
        return self.inside(ranges[own & (ranges["name"] != STEP)])

    def inside(self, spans: pd.DataFrame) -> pd.DataFrame:
        """The spans that begin within a step, with the step's row as `step`."""
        placed = spans.assign(step=_inside(spans["start"], self.table))
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
        lengths = spans["end"] - spans["start"]
        covered = np.column_stack([lengths.cumsum() - lengths, lengths.cumsum()])  # before, and with, each
        moments = [LONG_AGO, *spans[["start", "end"]].to_numpy().ravel()]
        until = self.table[["start", "end"]].apply(np.interp, xp=moments, fp=[0, *covered.ravel()])
        return (until["end"] - until["start"]) / 1e9


def union(*tables: pd.DataFrame) -> pd.DataFrame:
    """The spans of all tables, joined where they touch or overlap: start, end (ns), seconds."""
    spans = pd.concat([table[["start", "end"]] for table in tables]).sort_values("start")
    reached = spans["end"].cummax()
    new = spans["start"].gt(reached.shift(fill_value=LONG_AGO))
    return _spans(spans.groupby(new.cumsum()).agg({"start": "min", "end": "max"}))


def _spans(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows that have an end, in order of start, with these columns, start, end and seconds."""
    spans = rows.loc[rows["end"].notna(), [*columns, "start", "end"]].astype(
        {"start": "int64", "end": "int64"}
    )
    spans = spans.sort_values(["start", "end"], kind="stable", ignore_index=True)
    return spans.assign(seconds=(spans["end"] - spans["start"]) / 1e9)


def _inside(moments: pd.Series, steps: pd.DataFrame) -> pd.Series:
    """The row of the step around each moment; -1 where there is none. Steps do not overlap."""
    row = np.searchsorted(steps["start"].to_numpy(), moments.to_numpy(), side="right") - 1
    ended = moments.to_numpy() >= steps["end"].to_numpy()[np.maximum(row, 0)]
    return pd.Series(np.where((row < 0) | ended, -1, row), index=moments.index, dtype="int64")
