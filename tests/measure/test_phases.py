"""Prefill and decode apart, on steps made by hand."""

from vllm_lab.engines.replay import RealStep
from vllm_lab.measure.phases import Phase, phases


def step(seconds, scheduled, computed):
    return RealStep(0, 0.0, scheduled, [], [], [], 0, seconds, computed)


def test_steps_are_told_apart_by_what_each_request_computed():
    steps = [
        step(1.0, {"a": 8}, {"a": 8}),  # the first chunk of a's prompt: no token comes
        step(2.0, {"a": 1, "b": 4}, {"a": 9, "b": 4}),  # one prompt token is a prefill all the same
        step(0.5, {"a": 1, "c": 6}, {"a": 10, "c": 6}),
        step(0.25, {"a": 1, "b": 1, "c": 1}, {"a": 11, "b": 5, "c": 7}),
    ]
    found = phases(steps, {"a": 9, "b": 4, "c": 6})
    assert found["prefill"] == Phase(2, 3.0, 13, 2)
    assert found["mixed"] == Phase(1, 0.5, 6, 2)
    assert found["decode"] == Phase(1, 0.25, 0, 3)


def test_prompt_tokens_found_in_the_cache_are_not_computed():
    found = phases([step(1.0, {"a": 3}, {"a": 35})], {"a": 35})
    assert found["prefill"].prompt_tokens == 3
