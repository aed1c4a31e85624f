"""The four versions by name, in reading order, and how a run of any of them is made."""

from collections.abc import Iterator

from mini_vllm.tools import fast, ranges
from mini_vllm.tools.records import Step
from mini_vllm.v1_naive import engine as v1
from mini_vllm.v2_lru import engine as v2
from mini_vllm.v3_priority import engine as v3
from mini_vllm.v4_prefix import engine as v4

ENGINES = {"v1_naive": v1.Engine, "v2_lru": v2.Engine, "v3_priority": v3.Engine, "v4_prefix": v4.Engine}
VERSIONS = tuple(ENGINES)


def replay(engine: v1.Engine, record: bool = True) -> Iterator[Step]:
    """Run to the end, fast where there is a fast way; without `record` the steps may be left out.

    What Nsight Systems is to show is the readable loop: its ranges are the scheduler's parts.
    """
    if isinstance(engine, v3.Engine) and not ranges.ON:
        return fast.run(engine, record)
    return engine.run()
