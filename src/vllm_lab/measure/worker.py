"""An engine in a process of its own: engines side by side, each with its own cache and peak memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from vllm_lab.common import host
from vllm_lab.common.errors import LabError, Unavailable
from vllm_lab.common.processes import die_with_parent
from vllm_lab.engines.engine import Engine, load
from vllm_lab.engines.replay import replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.replayed import Memory, Replayed
from vllm_lab.measure.workload import at_once
from vllm_lab.oracle.scheduler import require_vllm
from vllm_lab.replay.requests import TracedRequest

Result = TypeVar("Result")
IN_TURNS = (
    "Two engines, each in a process of its own, replay the same requests in turns, from an empty prefix "
    "cache. Which one goes first changes from run to run. A ratio is taken within each run."
)


class EngineProcess:
    """A process that imports vLLM at once, and starts its engine at `start` or when it is first needed.

    Unavailable where vLLM is not installed. The first call that needs the engine raises what Engine raises.
    """

    def __init__(self, settings: EngineSettings, place: str | None = None) -> None:
        """`place`: the one of `devices` that the process is bound to; None leaves it unbound."""
        require_vllm()
        self._settings = settings
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (settings.device, place))
        # Start the process from this thread, which lasts: it dies with its thread (die_with_parent).
        self._pool.submit(_load)

    def start(self) -> None:
        """Let the engine start, without waiting for it."""
        _ = self._started

    def stop(self) -> None:
        """End engine and process, and wait for that."""
        with suppress(BrokenProcessPool):
            self._pool.submit(_stop)
        self._pool.shutdown()

    @cached_property
    def _started(self) -> Future[dict[str, Any]]:
        return self._pool.submit(_start, self._settings)

    @property
    def environment(self) -> dict[str, Any]:
        """What Engine.environment reports, and the number of cores."""
        return _result(self._started)

    def warm_up(self, requests: Sequence[TracedRequest]) -> Replayed:
        """Replay as many of `requests` as run at once: kernels of these sizes are compiled and kept."""
        return self.replay(at_once(requests[: self._settings.limits.max_num_seqs]))

    def replay(self, requests: Sequence[TracedRequest]) -> Replayed:
        """Replay from an empty prefix cache. LabError where a request was refused or preempted."""
        return self.call(_replay, requests)

    def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        """What `function` returns in this process, which has vLLM; the engine starts first."""
        _result(self._started)
        return _result(self._pool.submit(function, *arguments))


@contextmanager
def running(*processes: EngineProcess) -> Iterator[None]:
    """Stop all processes when the block ends, at the same time: an engine takes seconds to end."""
    try:
        yield
    finally:
        with ThreadPoolExecutor(len(processes)) as pool:
            list(pool.map(EngineProcess.stop, processes))


@contextmanager
def side_by_side(settings: Mapping[str, EngineSettings]) -> Iterator[dict[str, EngineProcess]]:
    """Engines by name. On a GPU they share its memory equally, and start one after the other."""
    engines = {}
    for name, own in settings.items():
        share = 0.9 / len(settings) if own.device == "cuda" else None
        engines[name] = EngineProcess(replace(own, memory_share=share))
    with running(*engines.values()):
        for name, engine in engines.items():
            engine.start()
            if settings[name].device == "cuda":
                _ = engine.environment  # waits until it has started: vLLM measures the memory that is left
        yield engines


def in_turns(
    engines: Mapping[str, EngineProcess], requests: Sequence[TracedRequest], number: int
) -> dict[str, Replayed]:
    """Run `number`: each engine's replay, in the order of `engines`. In odd runs the last goes first."""
    order = list(engines) if number % 2 == 0 else list(engines)[::-1]
    found = {name: engines[name].replay(requests) for name in order}
    return {name: found[name] for name in engines}


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise LabError("the engine's process died; the log ends with its last messages") from error


def devices(device: str) -> list[str]:
    """What EngineProcess can be bound to: the job's cores, or the GPUs that this process sees.

    Unavailable where there is no GPU, or no vLLM to run on it.
    """
    require_vllm()
    if device == "cpu":
        return [str(core) for core in sorted(os.sched_getaffinity(0))][: host.threads()]
    import torch

    count = torch.cuda.device_count()
    if not count:
        raise Unavailable("this process sees no GPU")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


# The rest runs in the engine's process, which holds one engine from _start to _stop.
_ENGINE: list[Engine] = []


def _begin(device: str, place: str | None) -> None:
    die_with_parent()
    if place is None:
        return
    if device == "cpu":
        os.sched_setaffinity(0, {int(place)})
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = place


def _load() -> None:
    load()  # returns nothing: a result of vLLM's would import vLLM in the parent, too


def _start(settings: EngineSettings) -> dict[str, Any]:
    _ENGINE.append(Engine(settings))
    return _ENGINE[0].environment() | {"cores": len(os.sched_getaffinity(0))}


def _stop() -> None:
    if _ENGINE:
        _ENGINE.pop().__exit__()


def _replay(requests: Sequence[TracedRequest]) -> Replayed:
    engine = _ENGINE[0]
    counted = engine.settings.log_stats
    before = engine.counters() if counted else {}
    with _memory_watched(engine) as memory:
        found = replay(engine, requests)
    after = engine.counters() if counted else {}
    if found.refused:
        refusal = found.refused[0]
        raise LabError(f"{refusal.request_id} {refusal.reason}; correct plan.* in the configuration")
    preempted = [name for step in found.steps for name in step.preempted]
    if preempted:
        raise LabError(f"{preempted[0]} was preempted: the KV cache has too few blocks")
    counters = {name: after[name] - before[name] for name in after}
    return Replayed(found.steps, found.requests, found.prompts, counters, memory())


@contextmanager
def _memory_watched(engine: Engine) -> Iterator[Callable[[], Memory]]:
    """Yield a function that returns the memory used since then, for a call after the block."""
    on_gpu = engine.settings.device == "cuda"
    before, peak = _allocated() if on_gpu else _resident()
    weights = engine.weight_bytes if on_gpu else None
    yield lambda: Memory(weights, engine.kv_cache_bytes, before, peak())


def _allocated() -> tuple[int, Callable[[], int]]:
    """Bytes that CUDA's allocator has given out, and what returns their peak since now."""
    import torch

    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated


def _resident() -> tuple[int, Callable[[], int]]:
    """Bytes of the resident set, and what returns their peak since now (Linux: man 5 proc, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS"), lambda: _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
