"""Requests whose clients leave."""

import pytest

from mini_vllm.limits import Limits
from mini_vllm.request import Request
from mini_vllm.tools.engines import ENGINES


@pytest.mark.parametrize("policy", ["fcfs", "priority"])
@pytest.mark.parametrize("version", ENGINES)
def test_aborted_requests_give_all_blocks_back_and_the_others_finish(version, policy):
    engine = ENGINES[version]([], Limits(num_blocks=40, block_size=4, max_num_seqs=3, policy=policy))
    requests = [Request(f"r{n}", float(n), n % 2, [n, *range(10)], [1] * 6) for n in range(6)]
    for request in requests:
        engine.scheduler.add(request)
    engine.step()
    running, waiting = engine.scheduler.running[1], next(iter(engine.scheduler.waiting))
    for request in (running, waiting):
        engine.scheduler.abort(request)
    while engine.scheduler.has_requests():
        engine.step()
    assert engine.blocks.num_free == engine.blocks.num_usable
    assert [request.finished for request in (running, waiting)] == [False, False]
    assert sum(request.finished for request in requests) == 4
