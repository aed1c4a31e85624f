"""One device, the same work on several, and more work on several: tests 3.1 to 3.3 of docs/plan.md.

Each device has an engine of its own, as each rank of vLLM's data parallelism has for a dense model. The
requests are dealt out to the engines. A device is a GPU, or on the CPU one core.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from vllm_lab.common.metric import Metric
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.document import Test, measured, not_run
from vllm_lab.measure.repeats import Reading, Repeats
from vllm_lab.measure.replayed import CLOCK, THROUGHPUT, Replayed
from vllm_lab.measure.worker import EngineProcess, devices, running
from vllm_lab.replay.requests import TracedRequest

METHOD = (
    "An engine for each device (on the CPU a process pinned to one core), all started and warmed up before. "
    "The requests are dealt out in turns and replayed all at once, from empty prefix caches. Runs on one "
    "device and on more devices alternate; a ratio is taken within each run."
)
SPAN = "handing out the requests to the last device's last answer"
DEVICE = {"cpu": "core", "cuda": "GPU"}  # what a device is
SINGLE, STRONG, WEAK = "single_device", "strong_scaling", "weak_scaling"
Work = Mapping[int, Sequence[TracedRequest]]  # number of devices -> the requests that they replay together


def tests(counts: Sequence[int]) -> dict[str, Test]:
    """The three tests by id, on these numbers of devices: ascending, 1 among them."""
    each = {
        f"time_{count}": Metric("s", f"{SPAN}, {count} at work", f"Time, {_on(count)}") for count in counts
    } | {
        f"throughput_{count}": Metric(
            "tokens/s", f"output tokens of all devices / time_{count}", f"Throughput, {_on(count)}"
        )
        for count in counts
    }
    headline, how = f"time_{counts[-1]}", f"time.perf_counter from {SPAN}"
    return {
        SINGLE: Test(
            SINGLE,
            "One device",
            "How many tokens per second does one device compute, as the base of the scaling tests?",
            "The work of strong scaling on one device. A step counts as prefill if every request in it "
            "computed its prompt, as decode if no request did, else as mixed.",
            CLOCK,
            THROUGHPUT,
            "total_time",
        ),
        STRONG: Test(
            STRONG,
            "Strong scaling: the same work on more devices",
            "How much faster do more devices finish the same work?",
            METHOD,
            how,
            each
            | {
                f"speedup_{count}": Metric(
                    "x", f"time_1 / time_{count} of each run", f"Speedup, {_on(count)}"
                )
                for count in counts[1:]
            }
            | _efficiencies(counts, "100 x time_1 / ({count} x time_{count}) of each run"),
            headline,
        ),
        WEAK: Test(
            WEAK,
            "Weak scaling: as much work for each device",
            "Does the time stay the same when each device gets the same amount of work?",
            METHOD,
            how,
            each | _efficiencies(counts, "100 x time_1 / time_{count} of each run"),
            headline,
        ),
    }


def _efficiencies(counts: Sequence[int], definition: str) -> dict[str, Metric]:
    return {
        f"efficiency_{count}_pct": Metric("%", definition.format(count=count), f"Efficiency, {_on(count)}")
        for count in counts[1:]
    }


def _on(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


def documents(
    settings: EngineSettings,
    parameters: Mapping[str, Any],
    fixed: Sequence[TracedRequest],
    growing: Sequence[TracedRequest],
    repeats: Repeats,
) -> list[dict[str, Any]]:
    """Measure; the documents of `tests`. They list the numbers of devices that the machine lacks as not run.

    `fixed`: the work of strong scaling; `growing`: `sequences_per_device` requests for each device.
    Raises what Engine raises.
    """
    places = devices(settings.device)
    counts = [count for count in parameters["devices"] if count <= len(places)]
    lacking = [
        {"part": f"{count} devices", "reason": f"this job has {len(places)} {DEVICE[settings.device]}(s)"}
        for count in parameters["devices"]
        if count > len(places)
    ]
    share = parameters["sequences_per_device"]
    strong: Work = dict.fromkeys(counts, fixed)
    weak: Work = {count: growing[: count * share] for count in counts}
    on_cpu = settings.device == "cpu"
    own = replace(settings, threads=1) if on_cpu else settings
    engines = [EngineProcess(own, place) for place in places[: counts[-1]]]
    with running(*engines):
        for engine in engines:
            engine.start()
        for engine in engines:
            engine.warm_up(fixed)
        strong_runs, weak_runs = (
            repeats.run(
                lambda number, work=work: _reading(engines, work, number),
                f"time_{counts[-1]}",
                len(engines) if on_cpu else 1,
            )
            for work in (strong, weak)
        )
        environments = {f"device_{number}": engine.environment for number, engine in enumerate(engines)}
    runs = {SINGLE: strong_runs, STRONG: strong_runs, WEAK: weak_runs}
    alone = lacking[0]["reason"] if lacking else "one device was asked for"
    found = []
    for name, test in tests(counts).items():
        test = test.on(parameters["prompts"])
        if name != SINGLE and len(counts) == 1:
            found.append(not_run(test, settings.device, parameters, f"nothing to compare: {alone}"))
            continue
        shown = [run.only(test.metrics) for run in runs[name]]
        missing = [] if name == SINGLE else lacking
        found.append(
            measured(test, settings.device, parameters, environments, shown, repeats, parts_not_run=missing)
        )
    return found


def _reading(engines: Sequence[EngineProcess], work: Work, number: int) -> Reading:
    """Run `number`: `work` on each number of devices. In odd runs the largest number goes first."""
    values: dict[str, float] = {}
    for count in list(work) if number % 2 == 0 else list(work)[::-1]:
        seconds, replays = _together(engines[:count], work[count])
        outputs = sum(row.output_tokens for row in work[count])
        values |= {f"time_{count}": seconds, f"throughput_{count}": outputs / seconds}
        if count == 1:
            values |= replays[0].throughput()
    return Reading(values | _gains(values, work))


def _gains(values: Mapping[str, float], work: Work) -> dict[str, float]:
    """Speedup and efficiency (%) of each number of devices, whether the work is the same or grows with it."""
    gains = {}
    for count in list(work)[1:]:
        more = len(work[count]) / len(work[1])  # times as much work as one device had
        gains[f"speedup_{count}"] = values["time_1"] / values[f"time_{count}"]
        gains[f"efficiency_{count}_pct"] = 100 * more * gains[f"speedup_{count}"] / count
    return gains


def _together(
    engines: Sequence[EngineProcess], requests: Sequence[TracedRequest]
) -> tuple[float, list[Replayed]]:
    """Deal out the requests to the engines: (s until the last answer, each engine's replay)."""
    parts = [requests[number :: len(engines)] for number in range(len(engines))]
    with ThreadPoolExecutor(len(engines)) as pool:
        start = time.perf_counter()
        replays = list(pool.map(EngineProcess.replay, engines, parts))
        return time.perf_counter() - start, replays
