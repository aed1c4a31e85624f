"""The loop that all engines share, with an engine made by hand that runs one token per request and step."""

import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.replay.replay import EngineStep, Outcome, Replay, TracedRequest, requests_of
from vllm_lab.traces.trace import Trace


class OneTokenEach:
    """Requests longer than 9 tokens are refused. The clock starts at 100 s, and a step takes 1 s."""

    free_blocks = 7

    def __init__(self, stuck=False):
        self.time, self.stuck = 100.0, stuck
        self.left: dict[str, int] = {}
        self.waits: list[float] = []

    @property
    def busy(self):
        return bool(self.left)

    def now(self):
        return self.time

    def wait_until(self, moment):
        self.waits.append(moment)
        self.time = max(self.time, moment)

    def refusal(self, request):
        return "is too long" if request.tokens > 9 else None

    def add(self, request):
        self.left[request.request_id] = len(request.output)

    def step(self):
        start, names = self.time, list(self.left)
        if self.stuck:
            return EngineStep(start, 0.0, {}, {}, [], [], {}, [], {})
        self.time += 1.0
        self.left = {name: tokens - 1 for name, tokens in self.left.items()}
        finished = [name for name, tokens in self.left.items() if tokens == 0]
        for name in finished:
            del self.left[name]
        ones, zeros = dict.fromkeys(names, 1), dict.fromkeys(names, 0)
        return EngineStep(start, 1.0, ones, ones, [], [], zeros, finished, ones)


def request(name, arrival, output):
    return TracedRequest(name, arrival, 0, [1], [1] * output)


def test_requests_enter_at_their_times_and_times_count_from_the_start_of_the_replay():
    engine = OneTokenEach()
    replay = Replay(engine, [request("late", 9.0, 1), request("b", 0.5, 2), request("a", 0.0, 2)])
    steps = [step for step, _ in replay.steps()]
    assert [(step.step, step.time, list(step.scheduled)) for step in steps] == [
        (0, 0.0, ["a"]),
        (1, 1.0, ["a", "b"]),
        (2, 2.0, ["b"]),
        (3, 9.0, ["late"]),
    ]
    assert engine.waits == [100.0, 109.0]  # only when nothing runs
    assert replay.outcomes() == [
        Outcome("a", 0.0, 0, 0, 1.0, 1.0, 2.0, 2),
        Outcome("b", 0.5, 0, 0, 1.5, 1.0, 2.5, 2),
        Outcome("late", 9.0, 0, 0, 1.0, None, 1.0, 1),
    ]


def test_a_refused_request_never_enters_and_has_an_empty_outcome():
    replay = Replay(OneTokenEach(), [request("long", 0.0, 9), request("a", 1.0, 1)])
    assert [list(step.scheduled) for step, _ in replay.steps()] == [["a"]]
    assert [(refusal.request_id, refusal.reason) for refusal in replay.refused] == [("long", "is too long")]
    assert replay.outcomes()[0] == Outcome("long", 0.0)


def test_an_engine_that_schedules_nothing_is_an_error_that_names_the_unfinished_requests():
    replay = Replay(OneTokenEach(stuck=True), [request("a", 0.0, 1), request("b", 0.0, 1)])
    with pytest.raises(LabError, match=r"no progress at 0 s; unfinished: a, b\. More blocks"):
        list(replay.steps())


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_would_leave_no_request_or_the_last_ones_out_is_refused(limit):
    trace = Trace.from_requests([[1], [2]], [[3], [4]], [0.0, 1.0])
    assert [len(requests_of(trace, given)) for given in (None, 1, 5)] == [2, 1, 2]
    with pytest.raises(LabError, match=f"limit is {limit}, must be at least 1"):
        requests_of(trace, limit)
