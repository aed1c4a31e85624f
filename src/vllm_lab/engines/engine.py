"""vLLM's LLMEngine in this process: started, warmed up and watched step by step."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from vllm_lab.common.errors import LabError, Unavailable
from vllm_lab.common.host import hardware
from vllm_lab.engines.settings import FORCED_TOKENS, EngineSettings
from vllm_lab.oracle.scheduler import Watch, block_hasher, vllm_version
from vllm_lab.replay.replay import EngineStep, TracedRequest


class Engine(Watch):
    """A running vLLM: an `Engine` of vllm_lab.replay. A context manager, since it holds memory (the GPU's).

    Unavailable where vLLM is not installed or is built for another device, LabError where it refuses the
    settings.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.version = check_device(settings.device)
        self._llm = _start(settings)
        if settings.limits.prefix_caching:
            self.core.request_block_hasher = block_hasher(settings.limits.block_size)
        super().__init__(self.core.scheduler)
        self._config = _resolved(self._llm.vllm_config)
        self._watch_schedule()
        self._warm_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._llm.engine_core.shutdown()

    @property
    def busy(self) -> bool:
        """Whether a request is queued or running."""
        return self._llm.has_unfinished_requests()

    def now(self) -> float:
        """The time on the clock of `step`, s."""
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """Sleep until `moment` (s, as `now`), unless it is over."""
        time.sleep(max(0.0, moment - self.now()))

    def refusal(self, request: TracedRequest) -> str | None:
        """Why the request could never finish, or None if it can."""
        longest = self._llm.vllm_config.model_config.max_model_len
        if request.tokens > longest:
            return f"has {request.tokens} tokens, max_model_len is {longest}"
        return self.settings.limits.refusal(request.tokens)

    def add(self, request: TracedRequest) -> None:
        """Queue a request, to be answered with its own output."""
        self._llm.add_request(
            request.request_id,
            {"prompt_token_ids": request.prompt},
            _greedy(len(request.output), {FORCED_TOKENS: request.output}),
            arrival_time=request.arrival_time,
            priority=request.priority,
        )

    def ask(self, name: str, prompt: list[int], tokens: int) -> None:
        """Queue a prompt, to be answered by the model itself with `tokens` tokens."""
        self._llm.add_request(name, {"prompt_token_ids": prompt}, _greedy(tokens))

    def step(self) -> EngineStep:
        """Run one step. It may schedule nothing."""
        start = time.perf_counter()
        outputs = self._llm.step()
        self.synchronize()
        seconds = time.perf_counter() - start
        preempted, evicted = self.take_events()
        return EngineStep(
            start,
            seconds,
            self._scheduled,
            self._computed,
            preempted,
            evicted,
            {output.request_id: output.num_cached_tokens for output in outputs},
            [output.request_id for output in outputs if output.finished],
            {output.request_id: output.outputs[0].token_ids[-1] for output in outputs},
        )

    def synchronize(self) -> None:
        """Wait for the device. On the CPU the work is done when vLLM returns."""
        if self.settings.device == "cuda":
            import torch

            torch.cuda.synchronize()

    def forget(self) -> None:
        """Empty the prefix cache."""
        if not self._llm.reset_prefix_cache():
            raise LabError("vLLM does not empty its prefix cache: a request still holds blocks")

    def counters(self) -> dict[str, int]:
        """vLLM's own prefix cache counters since its start, tokens: `queries` looked up, `hits` found.

        Only with settings.log_stats.
        """
        names = {f"vllm:prefix_cache_{name}": name for name in ("queries", "hits")}
        found = (metric for metric in self._llm.get_metrics() if metric.name in names)
        return {"queries": 0, "hits": 0} | {names[metric.name]: int(metric.value) for metric in found}

    @property
    def kv_cache_bytes(self) -> int:
        """Bytes of the KV cache's tensors."""
        tensors = self.model_runner.kv_caches
        return sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())

    @property
    def weight_bytes(self) -> int:
        """Bytes of the model's parameters. The CPU's linear layers pack theirs elsewhere."""
        return sum(parameter.nbytes for parameter in self.model_runner.model.parameters())

    @property
    def core(self) -> Any:
        """vLLM's EngineCore, which has the scheduler and the executor."""
        return self._llm.engine_core.engine_core

    @property
    def model_runner(self) -> Any:
        """vLLM's model runner, which holds the model."""
        return self.core.model_executor.driver_worker.worker.model_runner

    @property
    def modules(self) -> dict[str, Any]:
        """The torch modules that a step calls: the model under "", and the sampler if it is a module."""
        from torch.nn import Module

        found = {"": self.model_runner.model, "sampler": self.model_runner.sampler}
        return {name: module for name, module in found.items() if isinstance(module, Module)}

    def environment(self) -> dict[str, Any]:
        """Versions, the device, and the value that vLLM resolved each setting to."""
        import torch
        from vllm.platforms import current_platform

        cpu = current_platform.is_cpu()  # vLLM does not know its name
        return {
            "vllm": self.version,
            "torch": str(torch.__version__),  # otherwise a class that needs torch to be unpickled
            "device": current_platform.device_type,
            "device_name": hardware()["cpu"] if cpu else current_platform.get_device_name(),
            "threads": torch.get_num_threads() if cpu else None,
            "config": self._config,
        }

    def _watch_schedule(self) -> None:
        schedule, requests = self.scheduler.schedule, self.scheduler.requests

        def watched(*args: Any, **kwargs: Any) -> Any:
            output = schedule(*args, **kwargs)
            self._scheduled = dict(output.num_scheduled_tokens)
            # schedule() has counted the step's tokens; a request that ends in the step is gone after it.
            self._computed = {name: requests[name].num_computed_tokens for name in self._scheduled}
            return output

        self.scheduler.schedule = watched

    def _warm_up(self) -> None:
        """Run a prefill, decodes and a mixed batch before any step is timed: first steps load kernels."""
        for number in range(3):
            self.add(TracedRequest(f"warm-up {number}", 0.0, 0, [number + 1] * 40, [1] * 8))
            self.step()
        while self.busy:
            self.step()
        self.forget()


def check_device(device: str) -> str:
    """vLLM's version. Unavailable where it is not installed, or built for another device than `device`."""
    version = vllm_version()
    from vllm.platforms import current_platform

    if current_platform.device_type != device:
        raise Unavailable(
            f"device is {device}, this vLLM is built for {current_platform.device_type}; "
            f"install envs/{device}.lock, or ask for the other device"
        )
    return version


def load() -> tuple[Any, Any]:
    """Import vLLM's EngineArgs and LLMEngine with the settings that engines here need. It takes seconds.

    Unavailable where vLLM is not installed.
    """
    vllm_version()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_DISABLE_REQUEST_ID_RANDOMIZATION"] = "1"  # ids here are unique, and records name them
    os.environ["HF_HUB_OFFLINE"] = "1"
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    return EngineArgs, LLMEngine


def _start(settings: EngineSettings) -> Any:
    engine_args, llm_engine = load()
    import torch

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)  # without effect once an engine has run in this process
    from vllm_lab.engines.plugins import ForcedTokens

    try:
        with _hidden("llvmlite.binding.ffi"):
            return llm_engine.from_engine_args(
                engine_args(**settings.engine_args(), logits_processors=[ForcedTokens])
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise LabError(f"vLLM refuses: {error}") from error


def _greedy(tokens: int, extra_args: dict[str, Any] | None = None) -> Any:
    """Sampling that takes the likeliest token, `tokens` times."""
    from vllm import SamplingParams

    return SamplingParams(
        temperature=0.0, max_tokens=tokens, ignore_eos=True, detokenize=False, extra_args=extra_args
    )


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Hide an imported module from vLLM 0.32, which searches all modules for Triton kernels
    (vllm/triton_utils/dispatcher.py) and fails on numba's: its `lib` has no real __dict__."""
    found = sys.modules.pop(module, None)
    try:
        yield
    finally:
        if found is not None:
            sys.modules[module] = found


def _resolved(config: Any) -> dict[str, Any]:
    """vLLM's whole configuration as JSON, in the form that its server gives (/server_info)."""
    import pydantic  # a dependency of vLLM
    from vllm.config import VllmConfig

    return pydantic.TypeAdapter(VllmConfig).dump_python(config, mode="json", fallback=str)
