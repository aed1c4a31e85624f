"""The steps of a capture: their ranges, what kind each is, and what else happened inside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from vllm_lab.nsight.export import Export, Missing

STEP, EXECUTE, FORWARD = "engine.step", "model.execute.", "model.forward"
DOMAINS = ("vllm_lab", "mini_vllm")  # whose ranges are parts of a step
PREFILL = ("prefill", "mixed")  # kinds in which a prompt token is computed


@dataclass(frozen=True)
class Steps:
    """`table`: one row a step, in order: start, end (ns), kind ("" where no model runs)."""

    export: Export
    table: pd.DataFrame
    thread: int

    @classmethod
    def of(cls, export: Export) -> Steps:
        """The steps that ran something. Missing where the capture has none."""
        ranges = export.ranges
        ours = ranges[ranges["domain"].isin(DOMAINS)]
        table = ours[ours["name"] == STEP][["start", "end", "thread"]].reset_index(drop=True)
        if table.empty:
            raise Missing(f"no range {STEP} in the capture")
        executed = ours[ours["name"].str.startswith(EXECUTE)]
        kinds = executed["name"].str.removeprefix(EXECUTE)
        table["kind"] = kinds.groupby(_inside(executed["start"], table)).first().reindex(table.index)
        if len(executed):
            table = table[table["kind"].notna() & (table["kind"] != "empty")].reset_index(drop=True)
            if table.empty:
                raise Missing("no step of the capture ran anything")
        return cls(export, table.fillna({"kind": ""}), int(table["thread"].iloc[0]))

    def decode(self) -> pd.Series:
        """Which steps only decode. Missing where there is none."""
        return self._of_kind("decode")

    def prefill(self) -> pd.Series:
        """Which steps compute a prompt token. Missing where there is none."""
        return self._of_kind(*PREFILL)

    @cached_property
    def seconds(self) -> pd.Series:
        """Of each step."""
        return (self.table["end"] - self.table["start"]) / 1e9

    @cached_property
    def parts(self) -> pd.DataFrame:
        """Our ranges within steps: step (its row), name, start, end, seconds."""
        ranges = self.export.ranges
        ours = ranges[
            ranges["domain"].isin(DOMAINS) & (ranges["thread"] == self.thread) & (ranges["name"] != STEP)
        ]
        return self.inside(ours)

    def inside(self, spans: pd.DataFrame) -> pd.DataFrame:
        """Those spans that begin within a step, with its row and their seconds."""
        row = _inside(spans["start"], self.table)
        placed = spans.assign(step=row, seconds=(spans["end"] - spans["start"]) / 1e9)
        return placed[placed["step"] >= 0]

    def seconds_in(self, name: str) -> pd.Series:
        """Seconds of each step in our ranges `name`. Missing where the capture has no such range."""
        found = self.parts[self.parts["name"] == name]
        if found.empty:
            raise self.lacking(f"no range {name} in the capture's steps")
        return self._sums(found)

    def lacking(self, what: str) -> Missing:
        """Why a number is missing: `what`, but where no model ran, that."""
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

    def _sums(self, placed: pd.DataFrame) -> pd.Series:
        return placed.groupby("step")["seconds"].sum().reindex(self.table.index, fill_value=0.0)

    def _of_kind(self, *kinds: str) -> pd.Series:
        chosen = self.table["kind"].isin(kinds)
        if not chosen.any():
            raise self.lacking(f"no {' or '.join(kinds)} step in the capture")
        return chosen


def union(*tables: pd.DataFrame) -> pd.DataFrame:
    """The spans of all tables, those that touch or overlap made one: start, end (ns)."""
    spans = pd.concat([table[["start", "end"]] for table in tables]).sort_values("start")
    reached = spans["end"].cummax()
    new = spans["start"].gt(reached.shift(fill_value=-(2**62)))
    return spans.groupby(new.cumsum()).agg({"start": "min", "end": "max"}).reset_index(drop=True)


def _inside(moments: pd.Series, steps: pd.DataFrame) -> pd.Series:
    """The row of the step around each moment; -1 where there is none. Steps do not overlap."""
    row = np.searchsorted(steps["start"].to_numpy(), moments.to_numpy(), side="right") - 1
    ended = moments.to_numpy() >= steps["end"].to_numpy()[np.maximum(row, 0)]
    return pd.Series(np.where((row < 0) | ended, -1, row), index=moments.index, dtype="int64")
