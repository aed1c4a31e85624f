"""Random workloads: requests that share beginnings, few blocks, mixed priorities; and how to run them."""

from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import strategies as st

from mini_vllm.clock import Clock
from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.engines import ENGINES
from mini_vllm.tools.records import Step
from mini_vllm.v1_naive.engine import Engine

CLOCK = Clock(0.01, 0.00001, 0.0001)


class Row(NamedTuple):
    """One request as the trace has it."""

    request_id: str
    arrival_time: float
    priority: int
    prompt: list[int]
    output: list[int]


@st.composite
def workloads(draw: st.DrawFn) -> tuple[list[Row], Limits]:
    """(rows in any order of arrival, limits); some requests may be too large for the blocks."""
    block_size = draw(st.sampled_from([1, 2, 4, 16]))
    shared = draw(st.lists(st.integers(0, 2), min_size=6 * block_size, max_size=6 * block_size))
    rows = []
    for number in range(draw(st.integers(1, 12))):
        prompt = shared[: draw(st.integers(0, len(shared)))] + draw(st.lists(st.integers(0, 2), max_size=6))
        rows.append(
            Row(
                f"r{number}",
                draw(st.sampled_from([0.0, 0.0, 0.01, 0.02, 0.5])),
                draw(st.integers(0, 2)),
                prompt or [0],
                draw(st.lists(st.integers(0, 1), min_size=1, max_size=3 * block_size)),
            )
        )
    chunked = draw(st.booleans())
    seqs = draw(st.integers(1, 8))
    limits = Limits(
        num_blocks=draw(st.integers(2, 24)),
        block_size=block_size,
        max_num_seqs=seqs,
        max_num_batched_tokens=draw(st.integers(seqs, 64)) if chunked else 200,
        policy=draw(st.sampled_from(["fcfs", "priority"])),
        chunked_prefill=chunked,
        clock=CLOCK,
    )
    return rows, limits


def engine(version: str, rows: list[Row], limits: Limits) -> Engine:
    """A fresh engine."""
    requests = sorted((Request(*row) for row in rows), key=lambda request: request.arrival_time)
    return ENGINES[version](requests, limits)


def steps(version: str, rows: list[Row], limits: Limits) -> Iterator[Step]:
    """All steps of a fresh run."""
    return engine(version, rows, limits).run()
