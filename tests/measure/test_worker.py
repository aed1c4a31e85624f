"""A replay's phases, totals and latencies, on steps made by hand."""

import pytest

from vllm_lab.engines.replay import RealStep
from vllm_lab.measure.worker import LATENCIES, THROUGHPUT, Memory, Phase, Replayed
from vllm_lab.replay.replay import Outcome

STEPS = [  # start, seconds, scheduled tokens, tokens computed by the step's end
    (0.0, 1.0, {"a": 8}, {"a": 8}),  # the first chunk of a's prompt: no token appears
    (1.0, 2.0, {"a": 1, "b": 4}, {"a": 9, "b": 4}),  # one token of a prompt is a prefill all the same
    (3.5, 0.5, {"a": 1, "c": 6}, {"a": 10, "c": 6}),  # it starts half a second late
    (4.0, 0.25, {"a": 1, "b": 1, "c": 1}, {"a": 11, "b": 5, "c": 7}),
]


def replayed(steps, prompts) -> Replayed:
    made = [
        RealStep(0, start, scheduled, [], [], [], 0, seconds, computed)
        for start, seconds, scheduled, computed in steps
    ]
    ends = {"a": (3, 3.0, 4.25), "b": (2, 3.0, 4.25), "c": (2, 4.0, 4.25)}
    rows = [
        Outcome.finished(name, 0.0, 0, 0, first, last, tokens) for name, (tokens, first, last) in ends.items()
    ]
    return Replayed(made, rows, prompts, {}, Memory(None, 0, 0, 0))


def test_the_kind_of_a_step_follows_from_what_each_request_computed():
    found = replayed(STEPS, {"a": 9, "b": 4, "c": 6}).phases()
    assert found["prefill"] == Phase(2, 3.0, 13, 2)
    assert found["mixed"] == Phase(1, 0.5, 6, 2)
    assert found["decode"] == Phase(1, 0.25, 0, 3)


def test_prompt_tokens_found_in_the_cache_are_not_computed():
    found = replayed([(0.0, 1.0, {"a": 3}, {"a": 35})], {"a": 35}).phases()
    assert found["prefill"].prompt_tokens == 3


def test_throughput_divides_tokens_by_the_time_of_their_steps_or_by_the_whole_time():
    found = replayed(STEPS, {"a": 9, "b": 4, "c": 6}).throughput()
    assert set(found) == set(THROUGHPUT)
    assert found["total_time"] == 4.25  # with the half second between two steps
    assert found["prefill_throughput"] == pytest.approx(13 / 3)
    assert found["decode_throughput"] == pytest.approx(3 / 0.25)
    assert found["mixed_throughput"] == pytest.approx(8 / 0.5)
    assert found["end_to_end_throughput"] == pytest.approx(7 / 4.25)
    assert found["total_token_throughput"] == pytest.approx((7 + 19) / 4.25)


def test_a_kind_of_step_that_did_not_occur_has_no_values():
    found = replayed(STEPS[:2], {"a": 9, "b": 4, "c": 6}).throughput()
    assert not [name for name in found if name.startswith(("decode", "mixed"))]


def test_latencies_are_in_ms_of_the_requests_asked_for():
    found = replayed(STEPS, {"a": 9, "b": 4, "c": 6}).latencies_ms(slice(0, 2))
    assert set(found) == set(LATENCIES)
    assert found["first_token_latency_ms"] == [3000, 3000]
    assert found["time_per_output_token_ms"] == [625, 1250]
    assert found["total_latency_ms"] == [4250, 4250]


def test_a_request_of_one_output_token_has_no_time_per_output_token():
    found = replayed(STEPS, {"a": 9, "b": 4, "c": 6})
    found.requests[1] = Outcome.finished("b", 0.0, 0, 0, 3.0, 3.0, 1)
    latencies = found.latencies_ms()
    assert latencies["time_per_output_token_ms"] == [625, 250]
    assert latencies["total_latency_ms"] == [4250, 3000, 4250]
