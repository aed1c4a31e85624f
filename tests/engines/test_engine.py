"""The real engine, its model run on random weights: small, but whole."""

import json
import sys

import pytest

from mini_vllm.limits import Limits
from vllm_lab.common.errors import LabError, Unavailable
from vllm_lab.engines.__main__ import main
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.replay import RealRun, replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.oracle import engine as oracle
from vllm_lab.replay.comparison import STEP_FIELDS
from vllm_lab.replay.replay import TracedRequest

pytest.importorskip("vllm")

CACHING = {
    "cached": Limits(num_blocks=24, block_size=32, max_num_seqs=8, max_num_batched_tokens=128),
    "uncached, by priority": Limits(24, 32, 8, 128, policy="priority", prefix_caching=False),
}


@pytest.fixture(scope="module", params=CACHING)
def limits(request) -> Limits:
    return CACHING[request.param]


@pytest.fixture(scope="module")
def engine(limits, model_dir):
    with Engine(EngineSettings(model_dir, limits, load_format="dummy")) as engine:
        yield engine


@pytest.fixture(scope="module")
def measured(engine, crowd) -> RealRun:
    return replay(engine, crowd)


def decisions(result) -> list[list]:
    """Every field of every step but the time; the order of what was scheduled is a decision, too."""
    fields = [name for name in STEP_FIELDS if name not in ("time", "scheduled")]
    return [
        [list(step.scheduled.items()), *(getattr(step, name) for name in fields)] for step in result.steps
    ]


def counts(result) -> list[tuple]:
    return [
        (row.request_id, row.cached_tokens, row.preemptions, row.output_tokens) for row in result.requests
    ]


def test_the_engine_takes_the_oracles_decisions_step_by_step(measured, limits, crowd):
    replayed = oracle.run(crowd, limits)
    assert sum(len(step.preempted) for step in replayed.steps) > 0
    assert decisions(measured) == decisions(replayed)
    assert counts(measured) == counts(replayed)


def test_a_later_turn_finds_the_answer_of_the_turn_before_in_the_cache(engine, limits):
    """So the model has answered what the trace holds; its own weights, all random, would not have."""
    first = TracedRequest("first", 0.0, 0, list(range(40)), list(range(100, 160)))
    later = TracedRequest("later", 0.0, 0, [*first.prompt, *first.output, 1], [2])
    assert cached_after(engine, first, later) == (96 if limits.prefix_caching else 0)


def test_a_steps_tokens_are_the_traces(engine):
    request = TracedRequest("forced", 0.0, 0, [1, 2, 3], [7, 5, 9])
    engine.add(request)
    tokens = []
    while engine.busy:
        tokens += engine.step().tokens.values()
    assert tokens == request.output


def cached_after(engine, first: TracedRequest, later: TracedRequest) -> int:
    """Cached tokens of `later`, added once `first` is done."""
    engine.forget()
    for request in (first, later):
        engine.add(request)
        while engine.busy:
            step = engine.step()
    return step.cached[later.request_id]


def test_tokens_appear_at_the_ends_of_steps_and_steps_do_not_overlap(measured):
    ends = [step.time + step.seconds for step in measured.steps]
    assert all(end <= later.time for end, later in zip(ends, measured.steps[1:], strict=False))
    for row in measured.requests:
        assert any(end == pytest.approx(row.arrival + row.ttft, abs=1e-9) for end in ends)
        assert 0 < row.ttft <= row.e2e


def test_a_request_that_could_never_finish_is_refused_by_name(engine, limits):
    too_long = TracedRequest("too long", 0.0, 0, [1] * 2000, [1])
    done = replay(engine, [too_long, TracedRequest("short", 0.0, 0, [1] * 8, [1] * 2)])
    assert [refusal.request_id for refusal in done.refused] == ["too long"]
    assert [row.output_tokens for row in done.requests] == [0, 2]


def test_the_environment_holds_what_vllm_made_of_the_settings(measured, limits):
    config = measured.environment["config"]
    assert config["cache_config"]["num_gpu_blocks"] == limits.num_blocks
    assert config["cache_config"]["enable_prefix_caching"] == limits.prefix_caching
    assert config["scheduler_config"]["policy"] == limits.policy
    assert json.dumps(measured.environment)


def test_the_command_line_writes_steps_and_requests(tmp_path, model_dir, crowd):
    trace = tmp_path / "small_trace.jsonl"
    rows = [
        {
            "request_id": row.request_id,
            "arrival_time": 5.0,
            "prompt_token_ids": row.prompt,
            "output_token_ids": row.output,
        }
        for row in crowd
    ]
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = (
        f"--trace {trace} --limit 6 --num-blocks 24 --block-size 32 --max-num-seqs 4 "
        f"--max-num-batched-tokens 128 --max-output-tokens 3 --model-dir {model_dir} --load-format dummy "
        f"--steps {tmp_path}/steps.jsonl --requests {tmp_path}/requests.csv"
    )
    main(["run", *flags.split()])
    steps = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    assert all(step["seconds"] > 0 and step["scheduled"].keys() == step["computed"].keys() for step in steps)
    assert len((tmp_path / "requests.csv").read_text().splitlines()) == 1 + 6


def test_vllm_for_another_device_is_refused_in_plain_words(model_dir):
    from vllm.platforms import current_platform

    other = "cpu" if current_platform.device_type == "cuda" else "cuda"
    with pytest.raises(Unavailable, match=f"device is {other}"):
        Engine(EngineSettings(model_dir, Limits(24, 32), device=other, load_format="dummy"))


def test_what_vllm_refuses_is_an_error_in_plain_words(model_dir):
    with pytest.raises(LabError, match=r"vLLM refuses: .*block size"):
        Engine(EngineSettings(model_dir, Limits(num_blocks=200, block_size=8), load_format="dummy"))


def test_without_vllm_the_error_says_what_to_install(monkeypatch, model_dir):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(Unavailable, match="not installed"):
        Engine(EngineSettings(model_dir, Limits(24, 32)))
