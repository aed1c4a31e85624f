"""Replays in virtual time and their comparison: one place that knows the keys of these results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vllm_lab.replay.metrics import METRICS
from vllm_lab.report.blocks import Cell, Number
from vllm_lab.report.results import JsonResult, Results
from vllm_lab.report.trace_names import OWN, ordered, trace_label

COMPARISON = "replay/comparison.json"
ENGINES = {
    "v1_naive": "v1_naive",
    "v2_lru": "v2_lru",
    "v3_priority": "v3_priority",
    "vllm_uncached": "vLLM without prefix cache",
    "v4_prefix": "v4_prefix",
    "vllm_cached": "vLLM with prefix cache",
}
"""Titles, in the order in which engines stand side by side: each exact version before its vLLM."""


@dataclass(frozen=True)
class Replay:
    """One engine's replay of one trace with one memory, as its record has it."""

    engine: str
    trace: str
    memory: str
    found: JsonResult

    @property
    def ran(self) -> bool:
        """Whether the engine could run."""
        return self.found.value("status") != "not_run"

    def metric(self, name: str, title: str) -> Cell:
        """The Number of one of METRICS; a dash where nothing has it, not_run where the engine was not run."""
        id = f"scheduling.{self.engine}.{self.trace}.{self.memory}.{name}"
        label = f"{_where(self.trace, self.memory)}, {ENGINES[self.engine]}: {title[0].lower()}{title[1:]}"
        unit = METRICS[name].unit
        if not self.ran:
            reason = self.found.value("reason")
            return Number(id, None, unit, "not_run", self.found.file, "status", label, reason)
        if not self.found.has("metrics", name):
            return "–"
        return self.found.number(
            id,
            unit,
            "metrics",
            name,
            label=label,
            decimals=_decimals(self.found.value("metrics", name), unit),
        )

    def limit(self, *keys: str, unit: str, label: str) -> Number:
        """A limit that the replay was given; the memory's size is the replay's own, the others are alike."""
        scope = f"{self.memory}." if keys == ("num_blocks",) else ""
        value = self.found.value("limits", *keys)
        return self.found.number(
            f"scheduling.limits.{scope}{'.'.join(keys)}", unit, "limits", *keys, label=label,
            decimals=_exact_decimals(value) if unit == "s" else None,
        )  # fmt: skip


@dataclass(frozen=True)
class Account:
    """How far one version's replay is vLLM's: run `index` of the comparison."""

    found: JsonResult
    index: int

    def value(self, *keys: str) -> Any:
        """A field of the run."""
        return self.found.value("runs", self.index, *keys)

    @property
    def version(self) -> str:
        """The version of mini_vllm."""
        return self.value("version")

    @property
    def place(self) -> tuple[str, str]:
        """Trace and memory."""
        return self.value("trace"), self.value("memory")

    @property
    def ran(self) -> bool:
        """Whether vLLM could run beside it."""
        return self.value("status") != "not_run"

    def number(self, unit: str, *keys: str, label: str, decimals: int | None = None) -> Number:
        """A Number of the run."""
        return self.found.number(
            self._id(*keys), unit, "runs", self.index, *keys, label=self._label(label), decimals=decimals
        )

    def not_run(self) -> Number:
        """That vLLM was not run, with the reason."""
        return Number(
            self._id("equal_steps"), None, "steps", "not_run", self.found.file, f"runs.{self.index}.status",
            self._label("steps equal to vLLM's"), self.value("reason"),
        )  # fmt: skip

    def step(self, *keys: str) -> dict[str, Any] | None:
        """A side's step, from its line."""
        line = self.value(*keys)
        return None if line is None else json.loads(line)

    def in_step(self, unit: str, *keys: str, name: str, label: str) -> Number:
        """The Number `name` inside a side's step."""
        place = ".".join(("runs", str(self.index), *keys, name))
        value = self.step(*keys)[name]
        return Number(
            self._id(*keys, name), value, unit, self.found.kind, self.found.file, place, self._label(label)
        )

    def _id(self, *keys: str) -> str:
        return ".".join(("scheduling.compared", self.version, *self.place, *keys))

    def _label(self, words: str) -> str:
        return f"{_where(*self.place)}, {self.version}: {words}"


def replays(results: Results) -> dict[tuple[str, str], dict[str, Replay]]:
    """(trace, memory) -> engine -> its replay of one of our traces; ample memory before scarce."""
    found: dict[tuple[str, str], dict[str, Replay]] = {}
    for replay in _all_replays(results):
        if replay.trace in OWN:
            found.setdefault((replay.trace, replay.memory), {})[replay.engine] = replay
    traces = ordered({trace for trace, _ in found})
    places = sorted(found, key=lambda place: (traces.index(place[0]), place[1]))
    return {
        place: {engine: found[place][engine] for engine in ENGINES if engine in found[place]}
        for place in places
    }


def imported_replays(results: Results) -> list[Replay]:
    """The replays of other people's traces, by trace, ample memory before scarce."""
    found = [replay for replay in _all_replays(results) if replay.trace not in OWN]
    return sorted(found, key=lambda replay: (replay.trace, replay.memory, replay.engine))


def _all_replays(results: Results) -> Iterator[Replay]:
    for name in (*results.names("replay/*.*.*.json"), *results.names("oracle/vllm_*.json")):
        engine, trace, memory, _ = name.partition("/")[2].split(".")
        yield Replay(engine, trace, memory, results.json(name))


def accounts(results: Results) -> list[Account]:
    """The comparison's runs, in its order; none where nothing was compared."""
    if not results.has(COMPARISON):
        return []
    found = results.json(COMPARISON)
    return [Account(found, index) for index in range(len(found.value("runs")))]


def _where(trace: str, memory: str) -> str:
    return f"{trace_label(trace)}, {memory} memory"


def _decimals(value: float, unit: str) -> int | None:
    """Times of a few steps, which last some 10 ms each, need more digits than a report's other times."""
    return 4 if unit == "s" and value < 1 else None


def _exact_decimals(value: float) -> int:
    """Digits after the point that show a configured value in full: 5 for 1e-05."""
    return max(0, -int(Decimal(repr(value)).as_tuple().exponent))
