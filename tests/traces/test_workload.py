"""Selection, arrivals, priorities and the context rule decide a trace as they say, each by itself."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.traces.streams import write_streams
from vllm_lab.traces.workload import Arrivals, Requests, Selection, StreamTable, Workload, context_length


def ks_distance(values: np.ndarray, mean: float) -> float:
    """Kolmogorov–Smirnov distance to the exponential distribution of that mean, times the root of the number
    of values: above 1.63 with a probability of 1 % if they are drawn from it."""
    expected = 1 - np.exp(-np.sort(values) / mean)
    ranks = np.arange(len(values) + 1) / len(values)
    return np.sqrt(len(values)) * max((ranks[1:] - expected).max(), (expected - ranks[:-1]).max())


@pytest.fixture
def streams(many_conversations, model_dir, tmp_path) -> StreamTable:
    write_streams(many_conversations, tmp_path / "streams.parquet", (model_dir, "tokenizer", "drop"), 1)
    return StreamTable.read(tmp_path / "streams.parquet")


MULTI = Workload(
    mode="multi_turn",
    selection=Selection(100, "first", "user"),
    arrivals=Arrivals(2.0, 30.0, "exponential"),
    priorities=((0, 0.8), (1, 0.2)),
    context=10_000,
    over_context="drop",
    seed=3,
)


def by_conversation(trace, column: str) -> dict[str, list]:
    found: dict[str, list] = {}
    for name, value in zip(trace.conversation_id, getattr(trace, column).tolist(), strict=True):
        found.setdefault(name, []).append(value)
    return found


def test_streams_are_the_same_bytes_for_any_number_of_processes(
    many_conversations, model_dir, tmp_path
) -> None:
    settings = (model_dir, "tokenizer", "drop")
    summaries = []
    for processes in (1, 3):
        path = tmp_path / f"{processes}.parquet"
        summaries.append(write_streams(many_conversations, path, settings, processes))
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "3.parquet").read_bytes()
    assert summaries[0] == summaries[1]
    assert summaries[0]["conversations"] == 600
    assert summaries[0]["special_text_conversations"] == 120
    assert sorted(set(pq.read_table(tmp_path / "1.parquet")["conversation"].to_pylist())) == list(range(600))
    assert summaries[0]["unanswered_turns"] == summaries[0]["explicit_streams"] == 55


def test_gaps_between_starts_are_exponential_and_not_rescaled() -> None:
    starts = Arrivals(2.0, 0.0, "fixed").starts(20_000, np.random.default_rng(5))
    gaps = np.diff(starts, prepend=0.0)
    assert ks_distance(gaps, 0.5) < 1.63
    assert abs(gaps.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(gaps))
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 4 / np.sqrt(len(gaps))
    ends = [Arrivals(2.0, 0.0, "fixed").starts(100, np.random.default_rng(seed))[-1] for seed in range(400)]
    assert np.isclose(np.std(ends), np.sqrt(100) / 2.0, rtol=0.15)  # an Erlang end, not a fixed one


def test_longer_process_begins_with_the_shorter_one() -> None:
    short, long = (Arrivals(2.0, 0.0, "fixed").starts(n, np.random.default_rng(1)) for n in (10, 1_000))
    assert np.array_equal(short, long[:10])


def test_turns_follow_each_other_by_the_think_time() -> None:
    starts, turns = np.array([1.0, 2.0]), np.array([3, 1])
    fixed = Arrivals(1.0, 10.0, "fixed").times(starts, turns, np.random.default_rng(0))
    assert fixed.tolist() == [1.0, 11.0, 21.0, 2.0]
    many = Arrivals(1.0, 10.0, "exponential").times(np.zeros(1), np.array([20_000]), np.random.default_rng(0))
    assert many[0] == 0.0
    assert ks_distance(np.diff(many), 10.0) < 1.63


def test_requests_are_sorted_by_arrival_then_conversation_then_turn(streams) -> None:
    trace, _ = replace(MULTI, arrivals=Arrivals(2.0, 0.0, "fixed")).build(streams)
    place = {name: number for number, name in enumerate(streams.conversation_id)}
    keys = [
        (time, place[name], turn)
        for time, name, turn in zip(trace.arrival_time, trace.conversation_id, trace.turn, strict=True)
    ]
    assert keys == sorted(keys)
    assert len(trace) > 100
    assert trace.request_id[0] == f"{trace.conversation_id[0]}-t1"


def test_ties_in_arrival_are_broken_by_conversation_then_turn() -> None:
    count = 4
    same = {
        name: np.ones(count, dtype=np.int32)
        for name in ("priority", "prompt_tokens", "output_tokens", "stream")
    }
    requests = Requests(
        conversation=np.array([5, 2, 2, 9]), turn=np.array([1, 2, 1, 1]),
        arrival_time=np.array([1.0, 1.0, 1.0, 0.5]), answered=np.ones(count, dtype=bool), **same,
    ).in_order()  # fmt: skip
    assert list(zip(requests.conversation, requests.turn, strict=True)) == [(9, 1), (2, 1), (2, 2), (5, 1)]


def test_no_two_kinds_of_draw_are_the_same_numbers(streams) -> None:
    trace, _ = replace(MULTI, selection=Selection(0, "first", "any")).build(streams)
    times = by_conversation(trace, "arrival_time")
    gaps = np.diff(sorted(arrivals[0] for arrivals in times.values()), prepend=0.0) * MULTI.arrivals.rate
    thinking = np.concatenate([np.diff(arrivals) for arrivals in times.values()]) / MULTI.arrivals.think_time
    assert not set(gaps.round(6)) & set(thinking.round(6))


def test_both_modes_share_conversations_and_starts(streams) -> None:
    multi, _ = MULTI.build(streams)
    single, _ = replace(MULTI, mode="single_turn").build(streams)
    assert single.turn.tolist() == [1] * 100
    starts = {name: times[0] for name, times in by_conversation(multi, "arrival_time").items()}
    assert {name: times[0] for name, times in by_conversation(single, "arrival_time").items()} == starts


def test_changing_one_thing_leaves_the_other_draws_alone(streams) -> None:
    base, _ = MULTI.build(streams)
    slower, _ = replace(MULTI, arrivals=replace(MULTI.arrivals, rate=1.0)).build(streams)
    fixed, _ = replace(MULTI, arrivals=Arrivals(2.0, 1.0, "fixed")).build(streams)
    ranked, _ = replace(MULTI, priorities=((0, 0.5), (7, 0.5))).build(streams)
    sampled, _ = replace(MULTI, selection=Selection(100, "random", "user")).build(streams)

    def think_times(trace):
        return {
            name: np.diff(times).round(9).tolist()
            for name, times in by_conversation(trace, "arrival_time").items()
        }

    def starts(trace):
        return sorted(times[0] for times in by_conversation(trace, "arrival_time").values())

    assert think_times(slower) == think_times(base)
    assert np.allclose(starts(slower), 2 * np.array(starts(base)))
    assert by_conversation(slower, "priority") == by_conversation(base, "priority")
    assert starts(fixed) == starts(base)
    assert np.array_equal(ranked.arrival_time, base.arrival_time)
    assert starts(sampled) == starts(base)
    other, _ = replace(MULTI, seed=4).build(streams)
    assert starts(other) != starts(base)


def test_priority_is_drawn_once_for_a_conversation_in_the_given_shares(streams) -> None:
    trace, _ = replace(MULTI, selection=Selection(0, "first", "any")).build(streams)
    drawn = by_conversation(trace, "priority")
    assert all(len(set(values)) == 1 for values in drawn.values())
    assert 0.14 < np.mean([values[0] for values in drawn.values()]) < 0.26


def test_first_keeps_the_order_of_the_file_and_user_first_means_it(streams) -> None:
    roles = streams.first_role
    chosen = Selection(50, "first", "user").choose(roles, np.random.default_rng(0))
    assert (np.diff(chosen) > 0).all()
    assert set(roles[chosen]) == {"user"}
    everyone = Selection(0, "first", "any").choose(roles, np.random.default_rng(0))
    assert everyone.tolist() == list(range(600))


def test_random_sample_is_seeded_and_a_smaller_one_begins_a_larger(streams) -> None:
    samples = [
        Selection(count, "random", "any").choose(streams.first_role, np.random.default_rng(seed))
        for count, seed in [(50, 1), (200, 1), (50, 2)]
    ]
    assert samples[0].tolist() == samples[1][:50].tolist()
    assert samples[0].tolist() != samples[2].tolist()
    assert len(set(samples[1].tolist())) == 200


def test_nothing_to_choose_from_is_an_error() -> None:
    with pytest.raises(LabError, match="--begins-with any"):
        Selection(5, "first", "user").choose(np.array(["assistant"]), np.random.default_rng(0))


def test_prompts_over_the_context_are_dropped_outputs_cut_and_both_counted(streams) -> None:
    kept, report = replace(MULTI, context=60, over_context="keep").build(streams)
    dropped, dropped_report = replace(MULTI, context=60).build(streams)
    too_long = kept.prompt_tokens + 1 > 60
    passing = ~too_long & (kept.prompt_tokens + kept.output_tokens > 60)
    assert too_long.any() and passing.any()
    assert len(dropped) == len(kept) - too_long.sum()
    assert (dropped.prompt_tokens + dropped.output_tokens).max() == 60
    for summary in (report, dropped_report):
        counted = summary["over_context"]
        assert (counted["requests"], counted["outputs"]) == (too_long.sum(), passing.sum())
        assert counted["example"]["prompt_tokens"] >= 60
    with pytest.raises(LabError, match="every prompt is longer"):
        replace(MULTI, context=2).build(streams)


def test_a_prompt_that_just_fills_the_context_is_dropped_and_one_shorter_kept_with_one_output(
    streams,
) -> None:
    full, _ = MULTI.build(streams)
    context = int(np.sort(full.prompt_tokens)[len(full) // 2])
    trace, summary = replace(MULTI, context=context).build(streams)
    assert len(trace) == (full.prompt_tokens < context).sum()
    assert summary["over_context"]["example"]["prompt_tokens"] >= context
    assert (trace.output_tokens >= 1).all()
    assert (trace.prompt_tokens + trace.output_tokens).max() == context


def test_trace_holds_the_streams_tokens_as_far_as_its_requests_need_them(streams) -> None:
    trace, _ = replace(MULTI, selection=Selection(0, "random", "any")).build(streams)
    for row in range(0, len(trace), 17):
        conversation = streams.conversation_id.index(trace.conversation_id[row])
        at = streams.turn_offsets[conversation] + trace.turn[row] - 1
        start = streams.token_offsets[streams.stream[at]]
        end = start + streams.prompt_tokens[at]
        assert np.array_equal(trace.prompt(row), streams.token_ids[start:end])
        assert np.array_equal(trace.output(row), streams.token_ids[end : end + streams.output_tokens[at]])


def test_summary_says_what_the_trace_is(streams) -> None:
    trace, summary = MULTI.build(streams)
    assert summary["requests"] == len(trace)
    assert summary["conversations"] == 100
    assert summary["prompt_tokens"] == int(trace.prompt_tokens.sum())
    assert summary["lengths"]["output_tokens"]["max"] == int(trace.output_tokens.max())
    assert summary["measured_rate"] == pytest.approx(
        100 / max(t[0] for t in by_conversation(trace, "arrival_time").values())
    )
    assert "100 of 514 conversations that begin with a user message" in summary["selection"]["statement"]


def test_context_length_comes_from_the_models_config(tmp_path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"max_position_embeddings": 8192}')
    assert context_length(path) == 8192
    path.write_text("{}")
    with pytest.raises(LabError, match=r"config\.json: max_position_embeddings is None"):
        context_length(path)
