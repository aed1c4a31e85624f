"""NVTX ranges around the parts of a running vLLM, for Nsight Systems.

engine.step             one step, from the call to the tokens; on CUDA until the device is done
  scheduler.schedule    vLLM's scheduler decides
  model.execute.KIND    its decision is executed; KIND is prefill, decode, mixed or empty
    model.forward       the model's forward pass
    model.logits        its product with the vocabulary
  sampler.sample        the next tokens
  scheduler.update      vLLM counts the tokens of each request
layer.CLASS             one call of one of the model's layers, if asked for
"""

from collections.abc import Callable, Mapping
from typing import Any

import nvtx

from mini_vllm.clock import StepLoad, kind_of_step
from vllm_lab.engines.engine import Engine

DOMAIN = "vllm_lab"


def annotated(name: str) -> Any:
    """A range `name`, both a context manager and a decorator."""
    return nvtx.annotate(name, domain=DOMAIN)


def annotate(engine: Engine, layers: bool) -> None:
    """Wrap the engine's parts in ranges, with `layers` also each call of the model's layers (eager mode)."""
    core, runner = engine.core, engine.model_runner
    _wrap(engine, "step", "engine.step")
    _wrap(core.scheduler, "schedule", "scheduler.schedule")
    _wrap(core.scheduler, "update_from_output", "scheduler.update")
    _wrap(core.model_executor, "sample_tokens", "sampler.sample")
    _wrap(runner, "_model_forward", "model.forward")
    _wrap(runner.model, "compute_logits", "model.logits")
    core.model_executor.execute_model = _by_kind(core.model_executor.execute_model, core.scheduler.requests)
    if layers:
        for module in _layers(runner.model):
            _wrap(module, "forward", f"layer.{type(module).__name__}")


def _wrap(owner: Any, method: str, name: str) -> None:
    setattr(owner, method, annotated(name)(getattr(owner, method)))


def _layers(model: Any) -> list[Any]:
    """The modules that compute: those without submodules, and vLLM's operators and attention."""
    from vllm.model_executor.custom_op import CustomOp
    from vllm.model_executor.layers.attention import Attention

    return [
        module
        for module in model.modules()
        if isinstance(module, (CustomOp, Attention)) or not any(module.children())
    ]


def _by_kind(execute: Callable, requests: Mapping[str, Any]) -> Callable:
    """`execute` in a range that names the kind of the step."""

    def ranged(scheduler_output: Any, **kwargs: Any) -> Any:
        with annotated(f"model.execute.{_kind(scheduler_output.num_scheduled_tokens, requests)}"):
            return execute(scheduler_output, **kwargs)

    return ranged


def _kind(scheduled: Mapping[str, int], requests: Mapping[str, Any]) -> str:
    """The kind of a step. num_computed_tokens counts its tokens already."""
    if not scheduled:
        return "empty"
    computed = (requests[name].num_computed_tokens for name in scheduled)
    prompts = (requests[name].num_prompt_tokens for name in scheduled)
    load = StepLoad.of(scheduled.values(), computed, prompts)
    return kind_of_step(load.prefill_tokens, load.decode_tokens)
