"""The engine class of each version, and how a run of any of them is made."""

from collections.abc import Iterator

from mini_vllm.tools import fast, ranges
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


def replay(engine: Engine, record: bool = True) -> Iterator[Step]:
    """Run to the end, by the fast loop where there is one; without `record` the steps may be left out.

    With NVTX ranges on, the readable loop runs: its functions are the ranges that Nsight Systems shows.
    """
    if isinstance(engine, v3.Engine) and not ranges.ON:
        return fast.run(engine, record)
    return engine.run()
