"""What a capture comes to, in numbers: each with its unit and its definition.

A decode step is one in which every request computes one token after its prompt; a prefill step one in which a
prompt token is computed. Shares are of the calling thread's time, sum over sum.
"""

from typing import NamedTuple

from vllm_lab.common.metric import Metric


class Part(NamedTuple):
    """A part of a step: the NVTX range around it, and what it is."""

    range: str
    words: str


PARTS = {
    "schedule": Part("scheduler.schedule", "the scheduler's schedule()"),
    "forward": Part("model.forward", "the model's forward pass"),
    "logits": Part("model.logits", "the product with the vocabulary"),
    "sample": Part("sampler.sample", "sampling"),
    "update": Part("scheduler.update", "the scheduler's update_from_output()"),
}
RANGE_METRICS = {
    "captured_steps": Metric("steps", "engine.step ranges in the capture that ran or scheduled something"),
    "step_mean": Metric("s", "mean of these ranges"),
    "step_p50": Metric("s", "median of these ranges"),
    "schedule_mean": Metric("s", "mean of the scheduler.schedule ranges"),
    "decode_step_p50": Metric("s", "median of the decode steps' ranges"),
    "prefill_step_p50": Metric("s", "median of the prefill steps' ranges"),
    **{
        f"decode_{name}_share": Metric("fraction", f"of the time of decode steps, in {part.words}")
        for name, part in PARTS.items()
    },
    "decode_other_share": Metric("fraction", "of the time of decode steps, in none of these five"),
}
LAYER_METRICS = {
    "decode_attention_range_share": Metric(
        "fraction", "of the forward passes of decode steps, in attention layers, cache writes included"
    ),
    "decode_linear_range_share": Metric(
        "fraction", "of the forward passes of decode steps, in linear layers"
    ),
}
OS_METRICS = {
    "os_calls_per_step": Metric(
        "", "traced calls of the engine's thread to OS libraries within steps / steps"
    ),
    "os_time_share": Metric("fraction", "of the time of steps, in these calls"),
}
GPU_METRICS = {
    "gpu_busy_share": Metric(
        "fraction", "of first step's start to last step's end, with a kernel, copy or fill under way"
    ),
    "decode_gpu_busy_share": Metric("fraction", "of the time of decode steps, the same"),
    "decode_kernels_per_step": Metric("", "kernels that begin within decode steps / decode steps"),
    "decode_attention_kernel_share": Metric(
        "fraction", "of the time of kernels that begin within decode steps, attention"
    ),
    "decode_gemm_kernel_share": Metric(
        "fraction", "of the time of kernels that begin within decode steps, matrix products"
    ),
    "decode_launch_gap_mean": Metric(
        "s", "from a kernel's end to the next one's start in the same decode step, mean; 0 if they overlap"
    ),
    "launch_call_mean": Metric("s", "mean of the calls that launch a kernel or a graph, on the CPU"),
    "copy_share": Metric("fraction", "of the time in which the GPU is busy, in memory copies"),
    "copied_bytes": Metric("bytes", "by all memory copies"),
    "copy_bandwidth": Metric("GB/s", "copied_bytes / the copies' time"),
}
METRICS = RANGE_METRICS | LAYER_METRICS | OS_METRICS | GPU_METRICS
