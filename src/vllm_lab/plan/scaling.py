"""One device, the same work on several, and more work on several: tests 3.1 to 3.3 of docs/plan.md.

Each device has an engine of its own, as each rank of vLLM's data parallelism has for a dense model. The
requests are dealt out to the engines. A device is a GPU, or on the CPU one core.
"""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from vllm_lab.common import host
from vllm_lab.common.errors import Unavailable
from vllm_lab.common.metric import Metric
from vllm_lab.measure.document import Test
from vllm_lab.measure.repeats import Reading
from vllm_lab.measure.worker import CLOCK, KINDS_IN_WORDS, THROUGHPUT, EngineProcess, Replayed, running
from vllm_lab.oracle.scheduler import require_vllm
from vllm_lab.plan.job import Job
from vllm_lab.replay.replay import TracedRequest

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
    each, strong, weak = {}, {}, {}
    for count in counts:
        on = "1 device" if count == 1 else f"{count} devices"
        each[f"time_{count}"] = Metric("s", f"{SPAN}, {count} at work", f"Time, {on}")
        words = f"output tokens of all devices / time_{count}"
        each[f"throughput_{count}"] = Metric("tokens/s", words, f"Throughput, {on}")
    for count in counts[1:]:
        title, ratio = f"Efficiency, {count} devices", f"time_1 / time_{count}"
        strong[f"speedup_{count}"] = Metric("x", f"{ratio} of each run", f"Speedup, {count} devices")
        words = f"100 x time_1 / ({count} x time_{count}) of each run"
        strong[f"efficiency_{count}_pct"] = Metric("%", words, title)
        weak[f"efficiency_{count}_pct"] = Metric("%", f"100 x {ratio} of each run", title)
    how, headline = f"time.perf_counter from {SPAN}", f"time_{counts[-1]}"
    return {
        test.id: test
        for test in (
            Test(
                SINGLE, "One device",
                "How many tokens per second does one device compute, as the base of the scaling tests?",
                f"The work of strong scaling on one device. {KINDS_IN_WORDS}",
                CLOCK, THROUGHPUT, "total_time",
            ),
            Test(
                STRONG, "Strong scaling: the same work on more devices",
                "How much faster do more devices finish the same work?",
                METHOD, how, each | strong, headline,
            ),
            Test(
                WEAK, "Weak scaling: as much work for each device",
                "Does the time stay the same when each device gets the same amount of work?",
                METHOD, how, each | weak, headline,
            ),
        )
    }  # fmt: skip


def documents(
    job: Job, fixed: Sequence[TracedRequest], growing: Sequence[TracedRequest]
) -> list[dict[str, Any]]:
    """Measure and return the documents of `tests`.

    They list the numbers of devices that the machine lacks as not run.

    `fixed`: the work of strong scaling; `growing`: `sequences_per_device` requests for each device.
    Raises what Engine raises.
    """
    share, device = job.args.sequences_per_device, job.args.device
    places = devices(device)
    counts = [count for count in job.args.devices if count <= len(places)]
    lacking = [
        {"part": f"{count} devices", "reason": f"this job has {len(places)} {DEVICE[device]}(s)"}
        for count in job.args.devices
        if count > len(places)
    ]
    made = tests(counts)
    work = {STRONG: dict.fromkeys(counts, fixed), WEAK: {count: growing[: count * share] for count in counts}}
    settings = job.settings(fixed, growing[:share])
    own = replace(settings, threads=1) if device == "cpu" else settings
    engines = [EngineProcess(own, place) for place in places[: counts[-1]]]
    with running(*engines):
        for engine in engines:
            engine.start()
        for engine in engines:
            engine.warm_up(fixed)
        runs = {
            name: job.runs(partial(_reading, engines, rows), made[name], threads=len(engines))
            for name, rows in work.items()
        }
        environments = {f"device_{number}": engine.environment for number, engine in enumerate(engines)}
    runs[SINGLE] = runs[STRONG]
    alone = lacking[0]["reason"] if lacking else "one device was asked for"
    found = []
    for name, test in made.items():
        if name != SINGLE and len(counts) == 1:
            found.append(job.not_run(test, f"nothing to compare: {alone}"))
        else:
            shown, missing = [run.only(test.metrics) for run in runs[name]], [] if name == SINGLE else lacking
            found.append(job.document(test, environments, shown, parts_not_run=missing))
    return found


def devices(device: str) -> list[str]:
    """What an EngineProcess can be bound to: the job's cores, or the GPUs that this process sees.

    Unavailable where there is no GPU, or no vLLM to run on it.
    """
    require_vllm()
    if device == "cpu":
        return [str(core) for core in host.cores()][: host.threads()]
    import torch

    count = torch.cuda.device_count()
    if not count:
        raise Unavailable("this process sees no GPU")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


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
