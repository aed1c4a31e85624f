"""vLLM's own Scheduler and KVCacheManager fed a trace's prompts: no model, one output token a request."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from vllm.config import CacheConfig, ModelConfig, SchedulerConfig, VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import get_hash_fn_by_name
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

from vllm_lab.common.files import write_json
from vllm_lab.traces.trace import Trace

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "vocab_size": 2**20,
    "max_position_embeddings": 2**20,
    "torch_dtype": "bfloat16",
}
SEQUENCES, BATCHED_TOKENS = 1024, 2**20


def scheduler_hits(trace: Trace, block_size: int, blocks: int) -> tuple[float, int]:
    """Seconds from the trace in memory to the last request's end, and prompt tokens taken from the cache."""
    hash_fn = get_hash_fn_by_name("sha256")  # vLLM's default
    init_none_hash(hash_fn)
    hasher = get_request_block_hasher(block_size, hash_fn)
    scheduler = _scheduler(block_size, blocks)
    cached = 0
    start = time.perf_counter()
    for row in range(len(trace)):
        scheduler.add_request(
            Request(
                request_id=trace.request_id[row],
                prompt_token_ids=trace.prompt(row).tolist(),
                sampling_params=SamplingParams(max_tokens=1, ignore_eos=True),
                pooling_params=None,
                arrival_time=float(trace.arrival_time[row]),
                block_hasher=hasher,
            )
        )
    while scheduler.has_unfinished_requests():
        step = scheduler.schedule()
        cached += sum(request.num_computed_tokens for request in step.scheduled_new_reqs)
        scheduler.update_from_output(step, _one_token_each(scheduler, step.num_scheduled_tokens))
    return time.perf_counter() - start, cached


def _scheduler(block_size: int, blocks: int) -> Scheduler:
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "config.json", MODEL)
        model = ModelConfig(model=folder, skip_tokenizer_init=True, dtype="bfloat16")
    cache = CacheConfig(block_size=block_size, enable_prefix_caching=True)
    cache.num_gpu_blocks = blocks
    limits = SchedulerConfig(
        max_num_seqs=SEQUENCES,
        max_num_batched_tokens=BATCHED_TOKENS,
        max_model_len=MODEL["max_position_embeddings"],
        is_encoder_decoder=False,
        enable_chunked_prefill=True,
    )
    config = VllmConfig(model_config=model, cache_config=cache, scheduler_config=limits)
    attention = FullAttentionSpec(block_size=block_size, num_kv_heads=1, head_size=1, dtype=torch.bfloat16)
    return Scheduler(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(
            num_blocks=blocks,
            kv_cache_tensors=[],
            kv_cache_groups=[KVCacheGroupSpec(["layer"], attention)],
        ),
        structured_output_manager=StructuredOutputManager(config),
        block_size=block_size,
        log_stats=False,
    )


def _one_token_each(scheduler: Scheduler, scheduled: dict[str, int]) -> ModelRunnerOutput:
    """What a model runner returns: a token for each request whose whole prompt is computed by now."""
    requests: dict[str, Any] = scheduler.requests
    tokens = [
        [0] if requests[name].num_computed_tokens >= requests[name].num_tokens else [] for name in scheduled
    ]
    return ModelRunnerOutput(
        req_ids=list(scheduled),
        req_id_to_index={name: index for index, name in enumerate(scheduled)},
        sampled_token_ids=tokens,
    )
