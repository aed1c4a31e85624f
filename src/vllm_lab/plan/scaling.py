"""One device, the same work on several, and more work on several: the plan's tests 3.1 to 3.3.

Each device has an engine of its own, as the ranks of vLLM's data parallelism are for a dense model; the
requests are dealt out to them. A device is a GPU, or on the CPU one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from vllm_lab.common.metric import Metric
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.document import Test, measured, not_run
from vllm_lab.measure.repeats import Reading, Repeats
from vllm_lab.measure.worker import EngineProcess, Replayed, devices, running
from vllm_lab.plan.basics import CLOCK, THROUGHPUT, throughput
from vllm_lab.replay.requests import TracedRequest

METHOD = (
    "An engine for each device (on the CPU a process pinned to one core), all started and warmed up before. "
    "The requests are dealt out in turns and replayed all at once, from empty prefix caches. Runs on one and "
    "on more devices alternate; a ratio is taken within each run."
)
SPAN = "handing out the requests to the last device's last answer"
HOW = f"time.perf_counter from {SPAN}"
KIND = {"cpu": "core", "cuda": "GPU"}  # what a device is


def single(_: Sequence[int]) -> Test:
    """One device doing the work of strong scaling."""
    method = f"The work of strong scaling on one device. {THROUGHPUT.method}"
    question = "How many tokens per second does one device compute, as the base of the scaling tests?"
    return Test(
        "single_device", "One device", question, method, CLOCK, THROUGHPUT.metrics, THROUGHPUT.headline
    )


def strong(counts: Sequence[int]) -> Test:
    """The same work on each number of devices, 1 among them."""
    gains = {}
    for count in counts[1:]:
        gains[f"speedup_{count}"] = Metric("x", f"time_1 / time_{count} of each run")
        gains[f"efficiency_{count}_pct"] = Metric("%", f"100 x time_1 / ({count} x time_{count}) of each run")
    name = "Strong scaling: the same work on more devices"
    question = "How much faster do more devices finish the same work?"
    return Test("strong_scaling", name, question, METHOD, HOW, _each(counts) | gains, f"time_{counts[-1]}")


def weak(counts: Sequence[int]) -> Test:
    """As much work for each of the devices."""
    gains = {
        f"efficiency_{count}_pct": Metric("%", f"100 x time_1 / time_{count} of each run")
        for count in counts[1:]
    }
    name = "Weak scaling: as much work for each device"
    question = "Does the time stay the same when each device gets the same amount of work?"
    return Test("weak_scaling", name, question, METHOD, HOW, _each(counts) | gains, f"time_{counts[-1]}")


TESTS = (single, strong, weak)


def _each(counts: Sequence[int]) -> dict[str, Metric]:
    return {f"time_{count}": Metric("s", f"{SPAN}, {count} at work") for count in counts} | {
        f"throughput_{count}": Metric("tokens/s", f"output tokens of all devices / time_{count}")
        for count in counts
    }


def accounts(
    settings: EngineSettings,
    parameters: Mapping[str, Any],
    fixed: Sequence[TracedRequest],
    growing: Sequence[TracedRequest],
    repeats: Repeats,
) -> list[dict[str, Any]]:
    """The documents of TESTS. Numbers of `devices` that the machine lacks are told as not run.

    `fixed`: the work of strong scaling; `growing`: `sequences_per_device` requests for each of most devices.
    Unavailable as of Engine.
    """
    there = devices(settings.device)
    counts = [count for count in parameters["devices"] if count <= len(there)]
    lacking = [
        {"part": f"{count} devices", "reason": f"this job has {len(there)} {KIND[settings.device]}(s)"}
        for count in parameters["devices"]
        if count > len(there)
    ]
    share = parameters["sequences_per_device"]
    own = replace(settings, threads=1) if settings.device == "cpu" else settings
    engines = [EngineProcess(own, place) for place in there[: counts[-1]]]
    with running(*engines):
        for engine in engines:
            engine.start()
        for engine in engines:
            engine.warm_up(fixed)
        work = dict.fromkeys(counts, fixed)
        more = {count: growing[: count * share] for count in counts}
        busy = len(engines) if settings.device == "cpu" else 1
        found = [repeats.run(_measure(engines, rows), f"time_{counts[-1]}", busy) for rows in (work, more)]
        environments = {f"device_{number}": engine.environment for number, engine in enumerate(engines)}
    documents = []
    for make, runs in zip(TESTS, (found[0], *found), strict=True):
        test = make(counts).on(parameters["prompts"])
        if make is not single and len(counts) == 1:
            reason = f"nothing to compare: {lacking[0]['reason']}" if lacking else "one device was asked for"
            documents.append(not_run(test, settings.device, parameters, reason))
            continue
        shown = [run.only(test.metrics) for run in runs]
        document = measured(test, settings.device, parameters, environments, shown, repeats)
        documents.append(document | {"parts_not_run": [] if make is single else lacking})
    return documents


def _measure(
    engines: Sequence[EngineProcess], work: Mapping[int, Sequence[TracedRequest]]
) -> Callable[[int], Reading]:
    """What measures one run: `work` on each number of devices, every other run beginning with the most."""

    def once(number: int) -> Reading:
        order = list(work) if number % 2 == 0 else list(work)[::-1]
        values: dict[str, float] = {}
        for count in order:
            seconds, replays = _together(engines[:count], work[count])
            output = sum(len(row.output) for row in work[count])
            values |= {f"time_{count}": seconds, f"throughput_{count}": output / seconds}
            if count == 1:
                values |= throughput(replays[0], work[1])
        return Reading(values | _gains(values, work))

    return once


def _gains(values: Mapping[str, float], work: Mapping[int, Sequence[TracedRequest]]) -> dict[str, float]:
    """How much faster each number of devices is: for as much work as one had, or for that much each."""
    gains = {}
    for count in list(work)[1:]:
        times = len(work[count]) / len(work[1])
        gains[f"speedup_{count}"] = values["time_1"] / values[f"time_{count}"]
        gains[f"efficiency_{count}_pct"] = 100 * times * gains[f"speedup_{count}"] / count
    return gains


def _together(
    engines: Sequence[EngineProcess], requests: Sequence[TracedRequest]
) -> tuple[float, list[Replayed]]:
    """(s, each engine's replay) of the requests dealt out to the engines."""
    parts = [requests[number :: len(engines)] for number in range(len(engines))]
    with ThreadPoolExecutor(len(engines)) as pool:
        start = time.perf_counter()
        replays = list(pool.map(EngineProcess.replay, engines, parts))
        return time.perf_counter() - start, replays
