"""Denning's working set: the distinct blocks accessed within a window of time, as time goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vllm_lab.sharing.analysis import Sharing


@dataclass(frozen=True, eq=False)
class WorkingSet:
    """W(t) = distinct blocks accessed in (t - window, t], from the trace's first arrival to its last.

    (P. J. Denning, The working set model for program behavior, CACM 11(5), 1968.) A block is in it from an
    access until `window` seconds after the last access of an unbroken run.
    """

    window: float  # seconds; inf: every block seen so far
    begins: np.ndarray  # float64 [n] ascending: blocks enter …
    entered: np.ndarray  # int64 [n]: … this many so far
    ends: np.ndarray  # float64 [m] ascending: blocks leave …
    gone: np.ndarray  # int64 [m]: … this many so far
    span: tuple[float, float]  # first and last arrival, seconds

    @classmethod
    def of(cls, sharing: Sharing, window: float) -> WorkingSet:
        """Working set of the prompts' blocks for one window (s)."""
        accesses, arrival = sharing.accesses, sharing.trace.arrival_time
        time, weight = arrival[accesses.request], sharing.tree.blocks[accesses.segment]
        pause = np.append(np.diff(time), 0.0)[: len(time)]  # until the next access; last() overrules
        run_ends = accesses.last() | (pause > window)
        run_begins = accesses.first.copy()
        run_begins[1:] |= run_ends[:-1]
        begins, entered = _running_total(time[run_begins], weight[run_begins])
        leaving = run_ends if math.isfinite(window) else np.zeros_like(run_ends)
        ends, gone = _running_total(time[leaving] + window, weight[leaving])
        return cls(window, begins, entered, ends, gone, (float(arrival[0]), float(arrival[-1])))

    def at(self, time: np.ndarray) -> np.ndarray:
        """int64: blocks in the working set at each time (s)."""
        return _reached(self.begins, self.entered, time) - _reached(self.ends, self.gone, time)

    def peak(self) -> int:
        """The most blocks at any time of the trace; reached when blocks enter."""
        return int(self.at(self.begins).max(initial=0))

    def mean(self) -> float:
        """Blocks on average over the trace's time; those at its one moment if it has no duration."""
        first, last = self.span
        if last == first:
            return float(self.at(np.array([last]))[0])
        entered = np.diff(self.entered, prepend=0) * (last - self.begins)
        inside = self.ends < last
        gone = np.diff(self.gone, prepend=0)[inside] * (last - self.ends[inside])
        return (math.fsum(entered.tolist()) - math.fsum(gone.tolist())) / (last - first)


def _running_total(time: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(time, kind="stable")
    return time[order], np.cumsum(weight[order])


def _reached(times: np.ndarray, totals: np.ndarray, time: np.ndarray) -> np.ndarray:
    """The running total after everything up to and at `time`."""
    passed = np.searchsorted(times, time, side="right")
    return np.append(0, totals)[passed]
