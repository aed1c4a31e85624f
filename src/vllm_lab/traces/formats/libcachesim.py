"""libCacheSim's traces: one line for each block that a prompt accesses."""

from collections.abc import Iterator

from vllm_lab.traces.formats import format as fmt


def _records(source: fmt.Source) -> Iterator[tuple[int, int, int]]:
    from vllm_lab.traces.prefix_tree import cached_blocks

    seconds = source.trace.arrival_time.astype("int64").tolist()
    paths = cached_blocks(source.trace, source.block_size).split()
    return ((seconds[row], block, 1) for row, blocks in enumerate(paths) for block in reversed(blocks))


OUTGOING = fmt.Outgoing(
    "libcachesim.csv",
    "accesses",
    of_blocks=True,
    readers=(
        fmt.Reader(
            "libCacheSim",
            "cachesim {file} csv lru 1000,10000,100000 --ignore-obj-size 1 -t 'time-col=1, obj-id-col=2,"
            " obj-size-col=3, delimiter=,, has-header=true, obj-id-is-num=true'",
            fmt.READ_BACK,
        ),
    ),
    notes=(
        "One line for each block of a prompt that the sharing analysis counts, so the hit rate of an "
        "unbounded cache is the block reuse rate. The deepest block of a request comes first: lru then "
        "evicts a block before the blocks that lead to it. The sweeps of this project also keep the "
        "blocks of a request while it is served, so their small caches find slightly more. Times are "
        "whole seconds.",
    ),
    records=_records,
    header=("time", "obj_id", "obj_size"),
)
