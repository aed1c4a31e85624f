"""The engine class of each version, and how a run of any of them is made."""

from collections.abc import Iterator, Sequence

from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools import fast, ranges
from mini_vllm.tools.block_request import BlockRequest
from mini_vllm.tools.records import Step
from mini_vllm.v1_naive.engine import Engine
from mini_vllm.v2_lru import engine as v2
from mini_vllm.v3_priority import engine as v3
from mini_vllm.v4_prefix import engine as v4

ENGINES: dict[str, type[Engine]] = {
    "v1_naive": Engine,
    "v2_lru": v2.Engine,
    "v3_priority": v3.Engine,
    "v4_prefix": v4.Engine,
}


def build(version: str, requests: Sequence[Request], limits: Limits) -> Engine:
    """A fresh engine of `version` for requests in order of arrival.

    MiniError if the requests come as block ids and `limits` has blocks of another size.
    """
    for request in requests:
        if isinstance(request, BlockRequest):
            request.check(limits.block_size)
    return ENGINES[version](requests, limits)


def replay(engine: Engine, record: bool = True) -> Iterator[Step]:
    """Run to the end, by the fast loop where there is one; without `record` the steps may be left out.

    With NVTX ranges on, the readable loop runs: its functions are the ranges that Nsight Systems shows.
    """
    if isinstance(engine, v3.Engine) and not ranges.ON:
        return fast.run(engine, record)
    return engine.run()
