"""Fitting the cost model: what is put in comes out."""

import numpy as np
import pytest

from mini_vllm.clock import CostModel, StepLoad
from vllm_lab.cost_model import fit
from vllm_lab.cost_model.measurements import Run, TimedStep
from vllm_lab.measure.repeats import Disturbance

MODEL = CostModel(0.014, 3.2e-4, 8e-4, 2.5e-7)


@pytest.fixture
def loads() -> np.ndarray:
    """300 steps: decodes of 1 to 16 requests, every fourth with a prefill."""
    random = np.random.default_rng(0)
    steps = []
    for number in range(300):
        decodes = int(random.integers(0, 17))
        prefill = int(random.integers(2, 500)) if number % 4 == 0 or not decodes else 0
        context = decodes * int(random.integers(50, 900)) + prefill * int(random.integers(prefill + 1, 1000))
        steps.append((1, prefill, decodes, context))
    return np.array(steps, dtype=float)


def test_exact_durations_give_the_coefficients_back(loads):
    assert fit.least_squares(loads, loads @ MODEL) == pytest.approx(MODEL, rel=1e-6)


def test_noise_and_steps_that_another_job_stretched_hardly_move_the_coefficients(loads):
    random = np.random.default_rng(1)
    seconds = loads @ MODEL * random.normal(1, 0.03, len(loads))
    seconds[random.choice(len(loads), 30, replace=False)] *= random.uniform(2, 10, 30)
    assert fit.least_squares(loads, seconds) == pytest.approx(MODEL, rel=0.1)


def test_no_coefficient_is_negative(loads):
    falling = loads @ (0.1, 1e-4, -2e-3, 0.0)
    coefficients = fit.least_squares(loads, falling)
    assert coefficients[2] == 0
    assert (coefficients >= 0).all()


def test_the_median_of_repetitions_forgets_what_happened_in_one():
    calm, disturbed = run_of([0.02, 0.03]), run_of([0.2, 0.03])
    _, seconds = fit.median_steps([calm, disturbed, calm], {"a": 3})
    assert seconds.tolist() == [0.02, 0.03]
    assert fit.step_noise([calm, disturbed, calm])["median"] == 0


def test_a_row_holds_the_load_that_the_clock_sees():
    scheduled, computed = {"a": 4, "b": 1}, {"b": 9, "a": 10}
    row = fit.step_row(TimedStep(0.0, 0.1, scheduled, computed), {"a": 10, "b": 4})
    load = StepLoad.of([4, 1], [10, 9], [10, 4])
    assert load.context_tokens == (7 + 8 + 9 + 10) + 9
    assert {name: row[name] for name in load._fields} == load._asdict()
    assert (row["decode_context"], row["prefill_context"], row["context_once"]) == (9, 34, 19)
    chosen = dict(zip(fit.COLUMNS[fit.CHOSEN], MODEL, strict=True))
    seconds = sum(chosen[name] * row[name] for name in chosen)
    assert fit.cost_model(chosen).step_seconds([4, 1], [10, 9], [10, 4]) == pytest.approx(seconds)


def test_residuals_are_given_for_every_kind_of_step():
    steps = [({"a": 1}, {"a": 9}), ({"a": 8}, {"a": 9}), ({"a": 1, "b": 5}, {"a": 9, "b": 5})]
    rows = [fit.step_row(TimedStep(0.0, 0.1, *step), {"a": 8, "b": 5}) for step in steps]
    found = fit.residuals(rows, np.array([1.0, 2.0, 4.0]), np.array([1.1, 2.0, 4.0]))
    assert found["decode"]["relative"]["median"] == pytest.approx(0.1)
    assert found["prefill"]["steps"] == found["mixed"]["steps"] == 1
    assert found["all"]["steps"] == 3
    assert 0.99 < found["r2"] < 1


def run_of(seconds: list[float]) -> Run:
    """A run of one group whose steps, one decode each, took so long."""
    steps = [TimedStep(0.0, duration, {"a": 1}, {"a": 5 + n}) for n, duration in enumerate(seconds)]
    return Run([steps], [], Disturbance(0.0, 0.0, 0.0, 0.0))
