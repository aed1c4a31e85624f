"""The numbers that a capture gives, each with its unit, its definition and the table of nsys it comes from.

In a decode step every request decodes; in a prefill step a request prefills (mini_vllm.clock.is_decode).
A share is a sum of seconds over a sum of seconds; its definition names both.
"""

from vllm_lab.common.metric import Metric

PARTS = {  # part of a step -> the NVTX range around it
    "schedule": "scheduler.schedule",
    "forward": "model.forward",
    "logits": "model.logits",
    "sample": "sampler.sample",
    "update": "scheduler.update",
}
RANGES, OS_CALLS = "nsys export: NVTX_EVENTS", "nsys export: OSRT_API"
KERNELS, COPIES, CUDA_CALLS = (
    f"nsys export: CUPTI_ACTIVITY_KIND_{kind}" for kind in ("KERNEL", "MEMCPY", "RUNTIME")
)
METRICS = {
    "captured_steps": Metric(
        "steps", "engine.step ranges in the capture that ran or scheduled something", "Steps", RANGES),
    "step_mean": Metric("s", "mean of these ranges", "Step, mean", RANGES),
    "step_p50": Metric("s", "median of these ranges", "Step, median", RANGES),
    "schedule_mean": Metric("s", "mean of the scheduler.schedule ranges", "Scheduling, mean", RANGES),
    "decode_step_p50": Metric("s", "median of the decode steps' ranges", "Decode step, median", RANGES),
    "prefill_step_p50": Metric("s", "median of the prefill steps' ranges", "Prefill step, median", RANGES),
    "decode_schedule_share": Metric(
        "fraction", "of the time of decode steps, in the scheduler's schedule()",
        "Decode: scheduling", RANGES),
    "decode_forward_share": Metric(
        "fraction", "of the time of decode steps, in the model's forward pass",
        "Decode: forward pass", RANGES),
    "decode_logits_share": Metric(
        "fraction", "of the time of decode steps, in the product with the vocabulary",
        "Decode: logits", RANGES),
    "decode_sample_share": Metric(
        "fraction", "of the time of decode steps, in sampling", "Decode: sampling", RANGES),
    "decode_update_share": Metric(
        "fraction", "of the time of decode steps, in the scheduler's update_from_output()",
        "Decode: update", RANGES),
    "decode_other_share": Metric(
        "fraction", "of the time of decode steps, outside these five parts", "Decode: the rest", RANGES),
    "decode_attention_range_share": Metric(
        "fraction", "of the forward passes of decode steps, in attention layers, cache writes included",
        "Decode: attention layers", RANGES),
    "decode_linear_range_share": Metric(
        "fraction", "of the forward passes of decode steps, in linear layers",
        "Decode: linear layers", RANGES),
    "os_calls_per_step": Metric(
        "", "traced calls of the engine's thread to OS libraries within steps / steps",
        "OS calls per step", OS_CALLS),
    "os_time_share": Metric("fraction", "of the time of steps, in these calls", "Time in OS calls", OS_CALLS),
    "gpu_busy_share": Metric(
        "fraction", "of the time from the first step's start to the last step's end, "
        "with a kernel, copy or fill running", "GPU busy", KERNELS),
    "decode_gpu_busy_share": Metric(
        "fraction", "of the time of decode steps, with a kernel, copy or fill running",
        "Decode: GPU busy", KERNELS),
    "decode_kernels_per_step": Metric(
        "", "kernels that begin within decode steps / decode steps", "Kernels per decode step", KERNELS),
    "decode_attention_kernel_share": Metric(
        "fraction", "of the time of kernels that begin within decode steps, attention",
        "Decode: attention kernels", KERNELS),
    "decode_gemm_kernel_share": Metric(
        "fraction", "of the time of kernels that begin within decode steps, matrix products",
        "Decode: matrix product kernels", KERNELS),
    "decode_launch_gap_mean": Metric(
        "s", "mean time from a kernel's end to the next one's start in the same decode step; "
        "0 if they overlap", "Gap between kernels, mean", KERNELS),
    "launch_call_mean": Metric(
        "s", "mean of the calls that launch a kernel or a graph, on the CPU",
        "Launch call, mean", CUDA_CALLS),
    "copy_share": Metric(
        "fraction", "of the time in which the GPU is busy, in memory copies", "GPU time in copies", COPIES),
    "copied_bytes": Metric("bytes", "moved by all memory copies", "Copied", COPIES),
    "copy_bandwidth": Metric("GB/s", "copied_bytes / the copies' time", "Copy bandwidth", COPIES),
}  # fmt: skip
