"""The real runs: every group of requests and the held-out requests, several times, in one engine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.cost_model.measurements import FITTED, HELDOUT, Measurements, Run, TimedStep
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.replay import replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.repeats import watched
from vllm_lab.measure.workload import at_rate, shuffled
from vllm_lab.replay.replay import TracedRequest
from vllm_lab.traces.trace import Trace


@dataclass(frozen=True)
class Workload:
    """The requests to replay. No conversation is in both sets, so the sets share no prompt."""

    groups: list[list[TracedRequest]]  # to fit to, all at 0 s: of 1, 2, 4, 8 … requests, then the rest
    heldout: list[TracedRequest]  # at times of their own, from 0 s on


def choose(
    trace: Trace,
    *,
    requests: int,
    heldout_requests: int,
    rate: float,
    max_prompt_tokens: int,
    max_output_tokens: int,
    seed: int,
) -> Workload:
    """Choose whole conversations in a random order and take their short requests, outputs cut.

    The held-out requests keep the trace's pattern of arrivals, stretched or squeezed to `rate` (1/s) on
    average. LabError if the trace has too few requests.
    """
    rng = np.random.default_rng(seed)
    short = shuffled(trace, max_prompt_tokens, max_output_tokens, rng)
    of_request = dict(zip(trace.request_id, trace.conversation_id, strict=True))
    fitted = short[:requests]
    seen = {of_request[row.request_id] for row in fitted}
    heldout = [row for row in short if of_request[row.request_id] not in seen][:heldout_requests]
    if len(fitted) < requests or len(heldout) < heldout_requests:
        raise LabError(
            f"the trace has {len(fitted)} requests to fit to and {len(heldout)} to hold out; "
            f"{requests} and {heldout_requests} are needed. Lower cost_model.requests and "
            "cost_model.heldout_requests, or raise cost_model.max_prompt_tokens"
        )
    ends = rng.integers(1, max_output_tokens, size=len(fitted), endpoint=True)
    staggered = [replace(row, output=row.output[:end]) for row, end in zip(fitted, ends, strict=True)]
    return Workload(_groups(staggered), at_rate(heldout, rate))


def _groups(requests: Sequence[TracedRequest]) -> list[list[TracedRequest]]:
    """Split the requests into groups of doubling size, so that steps of every number of requests occur.

    In the last group some requests wait for a place. They join the decodes one by one, as outputs end one by
    one.
    """
    groups = []
    size, start = 1, 0
    while start < len(requests):
        end = start + size if start + 2 * size < len(requests) else len(requests)
        groups.append([replace(row, arrival_time=0.0) for row in requests[start:end]])
        start, size = end, 2 * size
    return groups


def measure(settings: EngineSettings, workload: Workload, repeats: int, retries: int) -> Measurements:
    """Start vLLM once and run both sets `repeats` times, and up to `retries` times more if disturbed.

    The two sets take turns, because a machine's speed drifts over minutes. Unavailable if vLLM is missing.
    """
    sets = {FITTED: workload.groups, HELDOUT: [workload.heldout]}
    runs: dict[str, list[Run]] = {name: [] for name in sets}
    with Engine(settings) as engine:
        for _ in range(repeats + retries):
            for name, groups in sets.items():
                if sum(run.disturbance.quiet for run in runs[name]) < repeats:
                    runs[name].append(_run(engine, groups, name == HELDOUT))
                    _log(name, runs[name])
        _check(runs[FITTED])
        requests = [row for groups in sets.values() for group in groups for row in group]
        prompts = {row.request_id: row.prompt_tokens for row in requests}
        return Measurements(**runs, requests=workload.heldout, prompts=prompts,
                            environment=engine.environment())  # fmt: skip


def _run(engine: Engine, groups: Sequence[Sequence[TracedRequest]], keep_requests: bool) -> Run:
    threads = engine.environment()["threads"] or 1  # on CUDA the process is one thread that waits
    replays, disturbance = watched(lambda: [replay(engine, group) for group in groups], threads)
    refused = [refusal for part in replays for refusal in part.refused]
    if refused:
        raise LabError(f"{refused[0].request_id} {refused[0].reason}; raise cost_model.num_blocks")
    steps = [
        [TimedStep(step.time, step.seconds, step.scheduled, step.computed) for step in part.steps]
        for part in replays
    ]
    return Run(steps, replays[0].requests if keep_requests else [], disturbance)


def _log(name: str, runs: Sequence[Run]) -> None:
    run, disturbance = runs[-1], runs[-1].disturbance
    console.log(
        f"{name}, run {len(runs) - 1}: {run.seconds:.1f} s in {run.num_steps} steps; other processes used "
        f"{disturbance.other_cores:.2f} cores, load {disturbance.load_before:.2f} to "
        f"{disturbance.load_after:.2f}"
    )


def _check(runs: Sequence[Run]) -> None:
    """Steps of the repetitions are matched by number, so they must be the same steps."""
    first, *others = ([[step.scheduled for step in group] for group in run.steps] for run in runs)
    if any(other != first for other in others):
        raise LabError(
            "vLLM scheduled the same requests differently in a repetition, so its steps cannot be matched; "
            "run the rule again"
        )
