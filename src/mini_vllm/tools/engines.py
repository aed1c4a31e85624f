"""The engine class of each version, and how a run of any of them is made."""

from collections.abc import Iterator, Sequence

from mini_vllm.errors import MiniError
from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools import ranges
from mini_vllm.tools.fast import FastRun
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
    sizes = {request.tokens_per_id for request in requests}
    if not sizes <= {1, limits.block_size}:
        raise MiniError(
            f"block_size is {limits.block_size}, must be {max(sizes)}: the trace gives prompts as ids of "
            f"blocks of {max(sizes)} tokens"
        )
    return ENGINES[version](requests, limits)


def replay(engine: Engine, record: bool = True) -> Iterator[Step]:
    """Run to the end, by the fast loop where there is one; without `record` the steps may be left out.

    With NVTX ranges on, the readable loop runs: its functions are the ranges that Nsight Systems shows.
    """
    if isinstance(engine, v3.Engine) and not ranges.ON:
        return FastRun(engine, record).steps()
    return engine.run()
