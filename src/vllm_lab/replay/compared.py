"""Every version of mini_vllm held against vLLM's scheduler, from the files that the replays left."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from mini_vllm.tools.records import Step
from mini_vllm.tools.versions import VERSIONS
from vllm_lab.replay.comparison import Comparison, compare
from vllm_lab.replay.stored_run import Key, StoredRun

# With which replay of vLLM's scheduler each version is compared.
OPPONENTS = {
    name: "vllm_cached" if version.caches else "vllm_uncached" for name, version in VERSIONS.items()
}
METRICS = ("ttft_mean", "tpot_mean", "e2e_mean", "preemptions", "makespan")


def compare_all(runs: Mapping[Key, StoredRun]) -> list[dict[str, Any]]:
    """One account for each replay of a version, in the order of `runs`."""
    return [
        {
            "version": engine,
            "against": OPPONENTS[engine],
            "trace": trace,
            "memory": memory,
            **account(runs[OPPONENTS[engine], trace, memory], mini),
        }
        for (engine, trace, memory), mini in runs.items()
        if engine in OPPONENTS
    ]


def account(vllm: StoredRun, mini: StoredRun) -> dict[str, Any]:
    """How far one version's replay is vLLM's, as JSON; not_run, with the reason, where vLLM's is."""
    if not vllm.ran:
        return {"status": "not_run", "reason": vllm.record["reason"]}
    found = compare(vllm, mini)
    return {
        "status": "simulated",
        "vllm_version": vllm.record["vllm_version"],
        "equal": found.equal,
        "equal_steps": found.steps.equal,
        "differing_steps": found.steps.differing,
        "step_fields": dict(found.steps.fields),
        "first_difference": _first_step(found),
        "equal_requests": found.requests.equal,
        "differing_requests": found.requests.differing,
        "request_columns": dict(found.requests.fields),
        "differing_refusals": found.refused.differing,
        "metrics": {name: _apart(vllm, mini, name) for name in METRICS},
        "crash": _crash(vllm, mini),
    }


def _first_step(found: Comparison) -> dict[str, Any] | None:
    """The first step that differs. Sides are lines: as JSON objects they would lose `scheduled`'s order."""
    first = found.steps.first
    if first is None:
        return None
    return {
        "step": first.row,
        "fields": first.fields,
        "before": _line(first.before),
        "vllm": _line(first.oracle),
        "mini": _line(first.mini),
    }


def _apart(vllm: StoredRun, mini: StoredRun, name: str) -> dict[str, Any]:
    """A metric on both sides, and (mini - vLLM) / vLLM where that is defined."""
    theirs, ours = vllm.record["metrics"][name], mini.record["metrics"][name]
    defined = theirs and ours is not None
    return {
        "vllm": theirs,
        "mini": ours,
        "relative_difference": (ours - theirs) / theirs if defined else None,
    }


def _crash(vllm: StoredRun, mini: StoredRun) -> dict[str, Any] | None:
    """How v1 ended, what had finished by then, and vLLM's step of the same number."""
    crash = mini.record["crash"]
    if crash is None:
        return None
    same = next(islice(vllm.steps, crash["step"], None), None)
    return {**crash, "finished": mini.record["metrics"]["finished"], "vllm": _line(same)}


def _line(step: Step | None) -> str | None:
    return step and step.line()
