"""vLLM's Scheduler: built without a model, and watched."""

import functools
import hashlib
import importlib.util
import json
import logging
import os
import struct
import tempfile
import warnings
from pathlib import Path
from typing import Any

from mini_vllm.limits import Limits
from vllm_lab.common.errors import Unavailable
from vllm_lab.replay.replay import TracedRequest

INSTALL = "install envs/cpu.lock or envs/cuda.lock"
NO_PARENT = bytes(32)  # in place of the hash of a first block's parent


def require_vllm() -> None:
    """Unavailable where vLLM is not installed; does not import it, which takes seconds."""
    if importlib.util.find_spec("vllm") is None:
        raise Unavailable(f"vLLM is not installed; {INSTALL}")


def vllm_version() -> str:
    """The version of the installed vLLM; Unavailable where no vLLM can be imported."""
    _quiet()
    try:
        import vllm
    except ImportError as error:
        raise Unavailable(f"vLLM is not installed ({error}); {INSTALL}") from error
    return vllm.__version__


class Watch:
    """Hooks on a Scheduler, alone or inside a whole engine, that write down the order of its decisions."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self._pool = scheduler.kv_cache_manager.block_pool
        self._preempted: list[str] = []
        self._evicted: list[str] = []
        self._watch_preemptions()
        self._watch_evictions()

    @property
    def free_blocks(self) -> int:
        """Blocks that the pool could hand out now, the cached but unreferenced ones among them."""
        return self._pool.get_num_free_blocks()

    def take_events(self) -> tuple[list[str], list[str]]:
        """(preempted request ids, evicted block names) since the last call, in order."""
        events = self._preempted, self._evicted
        self._preempted, self._evicted = [], []
        return events

    def _watch_preemptions(self) -> None:
        preempt = self.scheduler._preempt_request

        def watched(request: Any, *args: Any, **kwargs: Any) -> None:
            # SchedulerOutput.preempted_req_ids is a set: only here is their order known.
            self._preempted.append(request.request_id)
            preempt(request, *args, **kwargs)

        self.scheduler._preempt_request = watched

    def _watch_evictions(self) -> None:
        evict = self._pool._maybe_evict_cached_block

        def watched(block: Any) -> bool:
            key = block.block_hash  # block hash followed by 4 bytes of cache group; evict resets it
            evicted = evict(block)
            if evicted:
                self._evicted.append(key[:8].hex())  # how records name a block
            return evicted

        self._pool._maybe_evict_cached_block = watched


def _quiet() -> None:
    """Keep vLLM's log to errors: the settings that it lists are recorded anyway."""
    os.environ["VLLM_CONFIGURE_LOGGING"] = "0"  # read at the first import
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")
    logging.getLogger("vllm").setLevel(logging.ERROR)


@functools.cache
def _model_config() -> Any:
    """vLLM's ModelConfig of the smallest Llama: the scheduler asks it for little but its length."""
    from vllm.config import ModelConfig

    shape = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_attention_heads": 1,
        "num_hidden_layers": 1,
        "vocab_size": 128,
        "max_position_embeddings": 2**31 - 1,
        "torch_dtype": "float32",
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(shape), encoding="utf-8")
        return ModelConfig(model=folder, tokenizer=folder, skip_tokenizer_init=True, dtype="float32")


def build(limits: Limits, max_model_len: int) -> Any:
    """vLLM's Scheduler without a model; what Limits does not name has vLLM's default.

    `max_model_len`: tokens of the longest request. Unavailable where vLLM is not installed.
    """
    vllm_version()
    import torch
    from vllm.config import CacheConfig, DeviceConfig, SchedulerConfig, VllmConfig
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.structured_output import StructuredOutputManager

    model_config = _model_config()
    model_config.max_model_len = max_model_len
    scheduler_config = SchedulerConfig(
        max_num_seqs=limits.max_num_seqs,
        max_num_batched_tokens=limits.max_num_batched_tokens,
        # Only checked, not kept: it must not pass the budget without chunked prefill. The last token that a
        # request samples is never computed, so its length may pass it by one all the same.
        max_model_len=min(max_model_len, limits.max_num_batched_tokens),
        is_encoder_decoder=False,
        enable_chunked_prefill=limits.chunked_prefill,
        policy=limits.policy,
        async_scheduling=False,
    )
    cache_config = CacheConfig(block_size=limits.block_size, enable_prefix_caching=limits.prefix_caching)
    cache_config.num_gpu_blocks = limits.num_blocks
    config = VllmConfig(
        model_config=model_config,
        scheduler_config=scheduler_config,
        cache_config=cache_config,
        device_config=DeviceConfig("cpu"),
    )
    spec = FullAttentionSpec(block_size=limits.block_size, num_kv_heads=1, head_size=1, dtype=torch.float32)
    return Scheduler(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(
            num_blocks=limits.num_blocks,
            kv_cache_tensors=[],
            kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)],
        ),
        structured_output_manager=StructuredOutputManager(config),
        block_size=limits.block_size,
        log_stats=False,
    )


def make_request(request: TracedRequest, hasher: Any) -> Any:
    """vLLM's Request; `hasher` hashes its blocks, None without prefix caching."""
    from vllm import SamplingParams
    from vllm.v1.request import Request

    return Request(
        request_id=request.request_id,
        prompt_token_ids=request.prompt,
        sampling_params=SamplingParams(max_tokens=request.output_tokens, ignore_eos=True),
        pooling_params=None,
        arrival_time=request.arrival_time,
        priority=request.priority,
        block_hasher=hasher,
    )


def block_hasher(block_size: int) -> Any:
    """vLLM's hasher of a request's blocks, with a hash that mini_vllm can compute: evictions then have the
    same names everywhere."""
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash

    init_none_hash(_block_hash)
    return get_request_block_hasher(block_size, _block_hash)


def _block_hash(value: Any) -> bytes:
    """sha256 of a block's parent hash [32 bytes] and its tokens (int32, little-endian): 32 bytes.

    vLLM calls it with the block, and once with its seed (a string) for the parent of all first blocks.
    """
    if isinstance(value, str):
        return NO_PARENT
    parent, token_ids, extra_keys = value
    assert extra_keys is None, "requests here have no LoRA, image or cache salt"
    return hashlib.sha256(parent + struct.pack(f"<{len(token_ids)}i", *token_ids)).digest()
