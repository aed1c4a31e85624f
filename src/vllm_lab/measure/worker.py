"""An engine in a process of its own: engines side by side, each with its own cache and peak memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from typing import Any, TypeVar

from vllm_lab.common import host
from vllm_lab.common.errors import LabError, Unavailable
from vllm_lab.common.processes import die_with_parent
from vllm_lab.engines.engine import Engine, load
from vllm_lab.engines.replay import RealRun, replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.prediction import scheduled
from vllm_lab.oracle.scheduler import require_vllm
from vllm_lab.plan import memory
from vllm_lab.plan.memory import Memory
from vllm_lab.replay.replay import Outcome
from vllm_lab.replay.requests import TracedRequest

Result = TypeVar("Result")


@dataclass(frozen=True)
class Replayed:
    """A replay from an empty cache, and what it did to vLLM's counters and to the process's memory."""

    measured: RealRun
    counters: dict[str, int]  # of the prefix cache: after less before
    memory: Memory


class EngineProcess:
    """A process that imports vLLM at once, and starts its engine when told to or first asked for something.

    Unavailable and LabError as of Engine: where there is no vLLM at once, else from whatever is asked first.
    """

    def __init__(self, settings: EngineSettings, place: str | None = None) -> None:
        """`place`: the one of `devices` that it is bound to; None: the process's own."""
        require_vllm()
        self._settings = settings
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (settings.device, place))
        # From this thread, which lasts: a process of a thread that ends would end with it (die_with_parent).
        self._pool.submit(_load)

    def start(self) -> None:
        """Have the engine start, without waiting for it."""
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
        """What Engine.environment says, and on how many cores."""
        return _result(self._started)

    def warm_up(self, requests: Sequence[TracedRequest]) -> Replayed:
        """As many of `requests` as run at once, untimed: kernels of the sizes to come are made and kept."""
        limits = self._settings.limits
        return self.replay([replace(row, arrival_time=0.0) for row in requests[: limits.max_num_seqs]])

    def replay(self, requests: Sequence[TracedRequest]) -> Replayed:
        """Replay from an empty prefix cache; LabError where a request was refused or preempted."""
        replayed = self._call(_replay, requests)
        measured = replayed.measured
        if measured.refused:
            raise LabError(f"{measured.refused[0].request_id} {measured.refused[0].reason}; correct plan.*")
        preempted = [step.preempted for step in measured.steps if step.preempted]
        if preempted:
            raise LabError(f"{preempted[0][0]} was preempted: the blocks of its KV cache do not suffice")
        return replayed

    def scheduled(self, requests: Sequence[TracedRequest]) -> list[Outcome]:
        """The same by vLLM's scheduler alone, in virtual time; here, since this process has vLLM."""
        return self._call(scheduled, requests, self._settings.limits)

    def _call(self, function: Callable[..., Result], *arguments: object) -> Result:
        _result(self._started)
        return _result(self._pool.submit(function, *arguments))


@contextmanager
def running(*processes: EngineProcess) -> Iterator[None]:
    """Stop them all when the block ends, at the same time: an engine takes seconds to end."""
    try:
        yield
    finally:
        with ThreadPoolExecutor(len(processes)) as pool:
            list(pool.map(EngineProcess.stop, processes))


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise LabError("the engine's process died; its last words stand above in the log") from error


def devices(device: str) -> list[str]:
    """What EngineProcess can be bound to: the job's cores, or the GPUs that this process sees.

    Unavailable where there is none, or no vLLM to run on it.
    """
    require_vllm()
    if device == "cpu":
        return [str(core) for core in sorted(os.sched_getaffinity(0))][: host.threads()]
    import torch

    count = torch.cuda.device_count()
    if not count:
        raise Unavailable("no GPU is seen")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


# Below: what runs in the process. It holds one engine, from _start to _stop.
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
    load()  # what it returns stays here: handed back, it would import vLLM there as well


def _start(settings: EngineSettings) -> dict[str, Any]:
    _ENGINE.append(Engine(settings))
    return _ENGINE[0].environment() | {"cores": len(os.sched_getaffinity(0))}


def _replay(requests: Sequence[TracedRequest]) -> Replayed:
    engine = _ENGINE[0]
    counted = engine.settings.log_stats
    before = engine.counters() if counted else {}
    with memory.watched(engine) as found:
        measured = replay(engine, requests)
    after = engine.counters() if counted else {}
    return Replayed(measured, {name: after[name] - before[name] for name in after}, found())


def _stop() -> None:
    if _ENGINE:
        _ENGINE.pop().__exit__()
