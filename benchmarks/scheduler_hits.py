"""vLLM's own Scheduler and KVCacheManager fed a trace's prompts: no model, one output token per request."""

from __future__ import annotations

import time
from typing import Any

from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import get_hash_fn_by_name
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request

from mini_vllm.limits import Limits
from vllm_lab.oracle.scheduler import build
from vllm_lab.traces.trace import Trace

SEQUENCES, BATCHED_TOKENS = 1024, 2**20


def scheduler_hits(trace: Trace, block_size: int, blocks: int) -> tuple[float, int]:
    """Seconds from the trace in memory to the last request's end, and prompt tokens taken from the cache."""
    hash_fn = get_hash_fn_by_name("sha256")  # vLLM's default
    init_none_hash(hash_fn)
    hasher = get_request_block_hasher(block_size, hash_fn)
    scheduler = build(Limits(blocks, block_size, SEQUENCES, BATCHED_TOKENS), max_model_len=BATCHED_TOKENS)
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


def _one_token_each(scheduler: Any, scheduled: dict[str, int]) -> ModelRunnerOutput:
    """What a model runner returns: a token for each request that has computed its whole prompt."""
    requests: dict[str, Any] = scheduler.requests
    tokens = [
        [0] if requests[name].num_computed_tokens >= requests[name].num_tokens else [] for name in scheduled
    ]
    return ModelRunnerOutput(
        req_ids=list(scheduled),
        req_id_to_index={name: index for index, name in enumerate(scheduled)},
        sampled_token_ids=tokens,
    )
