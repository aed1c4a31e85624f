"""The held-out requests in virtual time, and how far that is from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from mini_vllm.clock import CostModel
from mini_vllm.limits import Limits
from vllm_lab.cost_model.fit import quantiles
from vllm_lab.replay import mini
from vllm_lab.replay.records import Outcome
from vllm_lab.replay.requests import TracedRequest

METRICS = ("ttft", "tpot", "e2e")
Runs = Sequence[Sequence[Outcome]]


def simulate(requests: Sequence[TracedRequest], limits: Limits, model: CostModel) -> list[Outcome]:
    """The requests through mini_vllm's v4_prefix, which takes vLLM's decisions, with the fitted clock."""
    return mini.run("v4_prefix", requests, replace(limits, clock=model)).requests


def output_throughput(outcomes: Sequence[Outcome]) -> float:
    """Output tokens per second, from the first arrival to the last token of all."""
    start = min(row.arrival for row in outcomes)
    return sum(row.output_tokens for row in outcomes) / (
        max(row.arrival + row.e2e for row in outcomes) - start
    )


def medians(measured: Runs) -> list[Outcome]:
    """Each request's median TTFT, TPOT and E2E over the runs: what a prediction can hope to meet."""
    return [
        replace(rows[0], **{name: _median([getattr(row, name) for row in rows]) for name in METRICS})
        for rows in zip(*measured, strict=True)
    ]


def _median(values: Sequence[float | None]) -> float | None:
    return None if values[0] is None else float(np.median(values))


def prediction_errors(predicted: Sequence[Outcome], measured: Runs) -> dict[str, dict[str, float]]:
    """Of each metric: the relative errors of the prediction against every measured run, pooled."""
    return _errors((predicted, run) for run in measured)


def repetition_errors(measured: Runs) -> dict[str, dict[str, float]]:
    """The same with each measured run as the prediction of every other: what repeating alone brings."""
    return _errors(permutations(measured, 2))


def _errors(pairs: Iterable[tuple[Sequence[Outcome], Sequence[Outcome]]]) -> dict[str, dict[str, float]]:
    pooled: dict[str, list[float]] = {name: [] for name in (*METRICS, "throughput")}
    for predicted, measured in pairs:
        for name in METRICS:
            for ours, theirs in zip(predicted, measured, strict=True):
                found, truth = getattr(ours, name), getattr(theirs, name)
                if truth is not None:  # a single output token has no TPOT
                    pooled[name].append(found / truth - 1)
        pooled["throughput"].append(output_throughput(predicted) / output_throughput(measured) - 1)
    return {
        name: {**quantiles(np.abs(values)), "bias": float(np.median(values))}
        for name, values in pooled.items()
    }
