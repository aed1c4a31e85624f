"""The metrics of a replay, computed by hand."""

import pytest

from vllm_lab.load.measurements import SentRequest
from vllm_lab.load.result import METRICS, metrics

LIMITS = {"ttft": 0.5, "tpot": 0.2, "e2e": 2.0}


def request(sent: float, chunks: list[float], **given) -> SentRequest:
    return SentRequest("r", sent, 10, len(chunks), sent, chunks, len(chunks), 0, **given)


def test_times_are_those_of_chunks_and_throughput_counts_the_drain():
    found = metrics([request(0.0, [0.5, 0.6, 0.7]), request(1.0, [1.25, 1.75])], LIMITS)
    assert found.keys() == METRICS.keys()
    assert found["duration"] == 1.75
    assert found["ttft_p50"] == pytest.approx((0.5 + 0.25) / 2)
    assert found["tpot_mean"] == pytest.approx((0.1 + 0.5) / 2)
    assert found["itl_mean"] == pytest.approx((0.1 + 0.1 + 0.5) / 3)
    assert found["e2e_p99"] == pytest.approx(0.7 + 0.99 * 0.05)
    assert found["request_throughput"] == 2 / 1.75
    assert found["output_throughput"] == 5 / 1.75
    assert found["total_throughput"] == 25 / 1.75


@pytest.mark.parametrize(
    ("chunks", "good"),
    [
        ([0.5, 0.7], True),
        ([0.51, 0.7], False),  # TTFT
        ([0.5, 0.71], False),  # TPOT
        ([0.5 + 0.15 * n for n in range(12)], False),  # E2E
        ([0.4], True),  # one token has no TPOT
    ],
)
def test_goodput_counts_requests_that_keep_every_limit(chunks, good):
    assert metrics([request(0.0, chunks)], LIMITS)["within_limits"] == good


def test_a_failed_request_has_no_latency_and_counts_against_the_limits():
    failed = request(0.0, [0.1, 0.2], error="HTTP 500")
    found = metrics([failed, request(0.0, [0.1, 0.2])], LIMITS)
    assert (found["completed"], found["failed"], found["within_limits"]) == (1, 1, 0.5)
    nothing = metrics([failed], LIMITS)
    assert nothing["duration"] is None
    assert nothing["request_throughput"] is None
    assert nothing["ttft_p50"] is None


def test_arrivals_at_the_same_moment_give_no_division_by_zero():
    assert metrics([request(0.0, [0.0])], LIMITS)["request_throughput"] is None
