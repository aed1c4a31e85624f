"""Compare, fuzz and shrink, with an oracle that plays mini_vllm and errs on purpose."""

from dataclasses import replace

import pytest

pytest.importorskip("vllm")

from mini_vllm.clock import Clock, CostModel
from mini_vllm.limits import Limits
from vllm_lab.oracle import __main__ as command
from vllm_lab.oracle import engine, fuzz
from vllm_lab.oracle.fuzz import Ask, Case, random_case, shrink
from vllm_lab.replay import mini
from vllm_lab.replay.comparison import compare
from vllm_lab.traces.trace import Trace


@pytest.fixture
def result():
    case = random_case("comparison/1", prefix_caching=True)
    return engine.run(case.requests(), case.limits)


def changed(result, at, **fields):
    steps = list(result.steps)
    steps[at] = replace(steps[at], **fields)
    return replace(result, steps=steps)


def test_a_replay_equals_itself(result):
    comparison = compare(result, result)
    assert comparison.equal
    assert (comparison.steps.equal, comparison.steps.differing) == (len(result.steps), 0)


def test_one_changed_field_is_found_at_its_step_with_both_sides(result):
    comparison = compare(result, changed(result, 1, free_blocks=999))
    assert not comparison.equal
    assert (comparison.first.what, comparison.first.fields) == ("step 1", ["free_blocks"])
    assert (comparison.steps.equal, comparison.steps.differing) == (len(result.steps) - 1, 1)
    assert '"free_blocks":999' in comparison.report()
    assert comparison.first.before == result.steps[0]


def test_the_order_of_scheduling_is_a_decision(result):
    at = next(step.step for step in result.steps if len(step.scheduled) > 1)
    backwards = dict(reversed(result.steps[at].scheduled.items()))
    assert compare(result, changed(result, at, scheduled=backwards)).first.fields == ["scheduled"]


def test_a_replay_that_ends_early_differs_in_the_steps_it_lacks(result):
    comparison = compare(result, replace(result, steps=result.steps[:-3]))
    assert comparison.steps.differing == 3
    assert comparison.first.mini is None


def test_a_difference_in_the_requests_alone_is_a_difference(result):
    row = replace(result.requests[0], cached_tokens=12345)
    comparison = compare(result, replace(result, requests=[row, *result.requests[1:]]))
    assert (comparison.steps.differing, comparison.requests.differing, comparison.equal) == (0, 1, False)
    assert comparison.requests.fields == {"cached_tokens": 1}
    assert "12345" in comparison.report()


def test_a_random_case_depends_on_its_seed_alone_and_prints_as_the_code_that_makes_it():
    assert random_case("0/7", True) == random_case("0/7", True)
    assert random_case("0/7", True) != random_case("0/8", True)
    names = {"Ask": Ask, "Case": Case, "Clock": Clock, "CostModel": CostModel, "Limits": Limits}
    assert eval(repr(random_case("0/7", True)), names) == random_case("0/7", True)


def test_random_cases_reach_preemption_eviction_refusal_and_both_policies():
    cases = [random_case(f"reach/{number}", True) for number in range(60)]
    results = [engine.run(case.requests(), case.limits) for case in cases]
    assert {case.limits.policy for case in cases} == {"fcfs", "priority"}
    assert {case.limits.chunked_prefill for case in cases} == {True, False}
    for name in ("preempted", "evicted"):
        assert sum(any(getattr(step, name) for step in one.steps) for one in results) >= 10
    assert sum(bool(one.refused) for one in results) >= 5
    assert sum(any(row.cached_tokens for row in one.requests) for one in results) >= 20


def test_shrinking_keeps_only_what_the_failure_needs():
    def fails(case):
        return any(ask.output >= 3 for ask in case.asks) and case.limits.num_blocks >= 5

    case = next(case for case in (random_case(f"s/{i}", True) for i in range(100)) if fails(case))
    small = shrink(case, fails)
    assert [(ask.output, ask.prompt_tokens) for ask in small.asks] == [(3, 1)]
    assert small.limits.num_blocks == 5


def test_a_version_that_errs_is_caught_shrunk_and_printed_as_a_test_that_runs(monkeypatch):
    def forgetful(version, requests, limits):
        """Never hits the cache."""
        return engine.run(requests, replace(limits, prefix_caching=False))

    monkeypatch.setattr(mini, "run", forgetful)
    failing = next(verdict for verdict in fuzz.fuzz("v4_prefix", 50, 0) if verdict.failure is not None)
    source = fuzz.as_test(failing, 0, 0)
    names = {
        "Ask": Ask,
        "Case": Case,
        "Clock": Clock,
        "CostModel": CostModel,
        "Limits": Limits,
        "judge": fuzz.judge,
    }
    exec(source, names)
    assert source.count("Ask(") <= 2
    with pytest.raises(AssertionError):
        next(value for name, value in names.items() if name.startswith("test_"))()


def test_compare_exits_with_one_on_a_difference_and_silently_with_none(monkeypatch, tmp_path, capsys):
    path = tmp_path / "trace.parquet"
    Trace.from_requests([[1] * 20, [1] * 20], [[2], [3]], [0.0, 1.0]).write(path)
    flags = ["compare", "--version", "v4_prefix", "--trace", str(path), "--num-blocks", "9"]
    monkeypatch.setattr(mini, "run", lambda version, *workload: engine.run(*workload))
    command.main(flags)
    assert "2 steps equal, 0 steps differ" in capsys.readouterr().out
    monkeypatch.setattr(
        mini, "run", lambda version, *workload: changed(engine.run(*workload), 1, finished=[])
    )
    with pytest.raises(SystemExit) as exit:
        command.main(flags)
    assert exit.value.code == 1
    assert "first difference: step 1, in finished" in capsys.readouterr().out
