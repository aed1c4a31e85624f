"""An engine in a process of its own, and what a replay through it gives: steps, latencies, hits, memory."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from mini_vllm.clock import StepLoad, kind_of_step
from vllm_lab.common import host
from vllm_lab.common.errors import LabError
from vllm_lab.common.metric import Metric
from vllm_lab.engines.engine import Engine, load
from vllm_lab.engines.replay import RealStep, replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.measure.workload import at_once
from vllm_lab.oracle.scheduler import require_vllm
from vllm_lab.replay.replay import Outcome, TracedRequest

Result = TypeVar("Result")
CLOCK = "time.perf_counter around each LLMEngine.step, on CUDA after torch.cuda.synchronize"
KINDS_IN_WORDS = (
    "A step counts as prefill if every request in it computed its prompt, as decode if no request did, else "
    "as mixed."
)
THROUGHPUT = {
    "prefill_throughput": Metric("tokens/s", "prompt tokens computed in prefill steps / their seconds"),
    "decode_throughput": Metric("tokens/s", "output tokens of decode steps / their seconds"),
    "mixed_throughput": Metric("tokens/s", "prompt and output tokens of mixed steps / their seconds"),
    "end_to_end_throughput": Metric("tokens/s", "output tokens / total_time"),
    "total_token_throughput": Metric("tokens/s", "prompt and output tokens / total_time"),
    "total_time": Metric("s", "start of the first step to the end of the last"),
    "prefill_time": Metric("s", "seconds of prefill steps"),
    "decode_time": Metric("s", "seconds of decode steps"),
    "mixed_time": Metric("s", "seconds of mixed steps"),
    "prefill_steps": Metric("steps", "steps in which each request computed its prompt"),
    "decode_steps": Metric("steps", "steps in which no request computed its prompt"),
    "mixed_steps": Metric("steps", "all other steps"),
}
LATENCIES = {
    "first_token_latency_ms": Metric("ms", "arrival to first token", "TTFT"),
    "time_per_output_token_ms": Metric("ms", "(last token - first token) / (output tokens - 1)", "TPOT"),
    "total_latency_ms": Metric("ms", "arrival to last token", "E2E"),
}
_FIELDS = dict(zip(LATENCIES, ("ttft", "tpot", "e2e"), strict=True))  # of Outcome, in s


@dataclass
class Phase:
    """All steps of one kind."""

    steps: int = 0
    seconds: float = 0.0
    prompt_tokens: int = 0  # computed
    output_tokens: int = 0  # that appeared


@dataclass(frozen=True)
class Memory:
    """Bytes, on CUDA as its allocator counts them, on the CPU of tensors and of the resident set."""

    weights: int | None  # None on the CPU, where vLLM packs the weights of layers
    kv_cache: int
    before: int  # in use when the replay began
    peak: int  # in use at most during the replay


@dataclass(frozen=True)
class Replayed:
    """A replay that started with an empty prefix cache and preempted no request."""

    steps: list[RealStep]
    requests: list[Outcome]  # in order of arrival
    prompts: Mapping[str, int]  # request id -> prompt tokens
    counters: Mapping[str, int]  # growth of vLLM's counters of hits; empty without log_stats
    memory: Memory

    def phases(self) -> dict[str, Phase]:
        """The steps of each kind: prefill, decode, mixed.

        A step that computes the end of a prompt also yields that request's first output token.
        """
        found = {kind: Phase() for kind in ("prefill", "decode", "mixed")}
        for step in self.steps:
            ends = [step.computed[name] for name in step.scheduled]
            prompts = [self.prompts[name] for name in step.scheduled]
            load = StepLoad.of(step.scheduled.values(), ends, prompts)
            phase = found[kind_of_step(load.prefill_tokens, load.decode_tokens)]
            phase.steps += 1
            phase.seconds += step.seconds
            phase.prompt_tokens += load.prefill_tokens
            phase.output_tokens += sum(end >= prompt for end, prompt in zip(ends, prompts, strict=True))
        return found

    def throughput(self) -> dict[str, float]:
        """Values of THROUGHPUT's metrics, without those of a kind of step that did not occur."""
        total = self.steps[-1].time + self.steps[-1].seconds - self.steps[0].time
        outputs = sum(row.output_tokens for row in self.requests)
        values = {
            "total_time": total,
            "end_to_end_throughput": outputs / total,
            "total_token_throughput": (outputs + sum(self.prompts.values())) / total,
        }
        for kind, phase in self.phases().items():
            tokens = phase.prompt_tokens + (0 if kind == "prefill" else phase.output_tokens)
            if phase.steps:
                values |= {
                    f"{kind}_throughput": tokens / phase.seconds,
                    f"{kind}_time": phase.seconds,
                    f"{kind}_steps": phase.steps,
                }
        return values

    def latencies_ms(self, counted: slice = slice(None)) -> dict[str, list[float]]:
        """LATENCIES (ms) of the requests in `counted`, in order of arrival. One token has no TPOT."""
        rows = self.requests[counted]
        return {
            name: [1000 * value for row in rows if (value := getattr(row, field)) is not None]
            for name, field in _FIELDS.items()
        }


class EngineProcess:
    """A process that imports vLLM at once, and starts its engine at `start` or when it is first needed.

    Unavailable where vLLM is not installed. The first call that needs the engine raises what Engine raises.
    """

    def __init__(self, settings: EngineSettings, place: str | None = None) -> None:
        """`place`: the core or the GPU that the process is bound to; None leaves it unbound."""
        require_vllm()
        self._settings = settings
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (settings.device, place))
        # Start the process from this thread, which lasts: it dies with its thread (host.die_with_parent).
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


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise LabError("the engine's process died; the log ends with its last messages") from error


# The rest runs in the engine's process, which holds one engine from _start to _stop.
_ENGINE: list[Engine] = []


def _begin(device: str, place: str | None) -> None:
    host.die_with_parent()
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
    return _ENGINE[0].environment() | {"cores": len(host.cores())}


def _stop() -> None:
    if _ENGINE:
        _ENGINE.pop().__exit__()


def _replay(requests: Sequence[TracedRequest]) -> Replayed:
    engine = _ENGINE[0]
    counters = engine.counters if engine.settings.log_stats else dict
    on_gpu = engine.settings.device == "cuda"
    before = counters()
    used_before, peak = _allocated() if on_gpu else _resident()
    found = replay(engine, requests)
    after = counters()
    if found.refused:
        refusal = found.refused[0]
        raise LabError(f"{refusal.request_id} {refusal.reason}; correct plan.* in the configuration")
    preempted = [name for step in found.steps for name in step.preempted]
    if preempted:
        raise LabError(f"{preempted[0]} was preempted: the KV cache has too few blocks")
    memory = Memory(engine.weight_bytes if on_gpu else None, engine.kv_cache_bytes, used_before, peak())
    growth = {name: after[name] - before[name] for name in after}
    return Replayed(found.steps, found.requests, found.prompts, growth, memory)


def _allocated() -> tuple[int, Callable[[], int]]:
    """Bytes that CUDA's allocator has given out, and what returns their peak since now."""
    import torch

    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated


def _resident() -> tuple[int, Callable[[], int]]:
    """Bytes of the resident set, and what returns their peak since now (Linux: man 5 proc, clear_refs)."""

    def status(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])

    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS"), lambda: status("VmHWM")
