"""The settings of the real engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mini_vllm.limits import Limits

GIB = 2**30
FORCED_TOKENS = "forced_tokens"  # key of SamplingParams.extra_args: the output's token ids


@dataclass(frozen=True)
class EngineSettings:
    """A checkpoint, the scheduler's limits, and how the model runs. All else has vLLM's default."""

    model_dir: Path  # config.json at least, and weights unless load_format is dummy
    limits: Limits  # without its clock; on the CPU block_size is a multiple of 32
    device: str = "cpu"  # or cuda; the installed vLLM must be built for it
    max_model_len: int = -1  # tokens of prompt and output; -1: what the model and the blocks allow
    enforce_eager: bool = True  # no torch.compile and no CUDA graphs: quicker to start, slower to step
    cuda_graphs: bool = True  # False: only torch.compile; no effect with enforce_eager
    scheduler: str = "mixed"  # or separated: prefill and decode in steps of their own
    memory_share: float | None = None  # of a GPU's memory, for two engines at once; None: vLLM's 0.92
    log_stats: bool = False  # count for Engine.counters
    layerwise_nvtx: bool = False  # vLLM's own ranges around layers: on CUDA, eager, with its V1 runner
    load_format: str = "auto"  # or dummy: random weights, for speed without a checkpoint
    dtype: str = "auto"  # the checkpoint's
    threads: int | None = None  # of torch on the CPU, fixed by a process's first engine; None: all cores

    def engine_args(self) -> dict[str, Any]:
        """The settings by the names of vLLM's EngineArgs."""
        limits = self.limits
        given = {
            "model": str(self.model_dir),
            "skip_tokenizer_init": True,  # requests are token ids
            "load_format": self.load_format,
            "dtype": self.dtype,
            "max_model_len": self.max_model_len,
            "enforce_eager": self.enforce_eager,
            "block_size": limits.block_size,
            "num_gpu_blocks_override": limits.num_blocks,
            # The override decides, but without this the CPU backend needs 92 % of all memory to be free.
            "kv_cache_memory_bytes": GIB if self.device == "cpu" else None,
            "enable_prefix_caching": limits.prefix_caching,
            "max_num_seqs": limits.max_num_seqs,
            "max_num_batched_tokens": limits.max_num_batched_tokens,
            "enable_chunked_prefill": limits.chunked_prefill,
            "scheduling_policy": limits.policy,
            "async_scheduling": False,  # one step ends before the next is scheduled, as in the oracle
            "disable_log_stats": not self.log_stats,
            "enable_layerwise_nvtx_tracing": self.layerwise_nvtx,
            "use_tqdm_on_load": False,
            "seed": 0,
        }
        if not self.cuda_graphs:
            given["compilation_config"] = {"cudagraph_mode": "NONE"}
        if self.memory_share is not None:
            given["gpu_memory_utilization"] = self.memory_share
        if self.scheduler == "separated":
            given["scheduler_cls"] = "vllm_lab.engines.plugins.SeparatedScheduler"
        return given
