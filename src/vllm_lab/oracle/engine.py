"""vLLM's scheduler as an engine: its steps last what the clock says, and the trace takes the model's part."""

from collections.abc import Sequence
from typing import Any

from mini_vllm.limits import Limits
from vllm_lab.oracle.scheduler import Watch, block_hasher, build, make_request
from vllm_lab.replay.replay import EngineStep, Replay, Result, TracedRequest


def run(requests: Sequence[TracedRequest], limits: Limits) -> Result:
    """Replay `requests` in virtual time. They may be in any order; ties of arrival keep theirs.

    The same requests and limits always give the same result. LabError where the scheduler stops making
    progress, which cannot happen with requests that fit.
    """
    replay = Replay(VirtualEngine(limits, requests), requests)
    steps = [step for step, _ in replay.steps()]
    return Result(steps, replay.outcomes(), replay.refused)


class VirtualEngine(Watch):
    """An `Engine` of vllm_lab.replay in virtual time, which starts at 0 s."""

    def __init__(self, limits: Limits, requests: Sequence[TracedRequest]) -> None:
        """`requests`: all that will be added; the scheduler must know the longest."""
        self._limits = limits
        lengths = (request.tokens for request in requests if self.refusal(request) is None)
        super().__init__(build(limits, max(lengths, default=1)))
        self._hasher = block_hasher(limits.block_size) if limits.prefix_caching else None
        self._now = 0.0
        self._outputs: dict[str, list[int]] = {}  # request id -> its output's token ids
        self._vllm: dict[str, Any] = {}  # request id -> vLLM's Request, in which the scheduler counts

    @property
    def busy(self) -> bool:
        """Whether a request is queued or running."""
        return self.scheduler.has_unfinished_requests()

    def now(self) -> float:
        """The virtual time, s."""
        return self._now

    def wait_until(self, moment: float) -> None:
        """Jump to `moment` (s), unless it is over."""
        self._now = max(self._now, moment)

    def refusal(self, request: TracedRequest) -> str | None:
        """Why the request could never finish, or None if it can."""
        return self._limits.refusal(request.tokens)

    def add(self, request: TracedRequest) -> None:
        """Queue a request."""
        self._outputs[request.request_id] = request.output
        self._vllm[request.request_id] = made = make_request(request, self._hasher)
        self.scheduler.add_request(made)

    def step(self) -> EngineStep:
        """Run one step. A step that schedules no token takes no time."""
        start = self._now
        output = self.scheduler.schedule()
        preempted, evicted = self.take_events()
        scheduled = dict(output.num_scheduled_tokens)
        if not scheduled:
            return EngineStep(start, 0.0, {}, {}, preempted, evicted, {}, [], {})
        computed = {name: self._vllm[name].num_computed_tokens for name in scheduled}  # the new ones, too
        prompts = [self._vllm[name].num_prompt_tokens for name in scheduled]
        seconds = self._limits.clock.step_seconds(scheduled.values(), computed.values(), prompts)
        self._now = start + seconds
        tokens = {name: token for name in scheduled if (token := self._next_token(name)) is not None}
        cached, finished = self._update(output, tokens)
        return EngineStep(start, seconds, scheduled, computed, preempted, evicted, cached, finished, tokens)

    def _next_token(self, name: str) -> int | None:
        """The trace's next output token; None for a chunk of a prompt that is not its last."""
        request = self._vllm[name]
        if request.num_computed_tokens < request.num_tokens:
            return None
        return self._outputs[name][request.num_output_tokens]

    def _update(self, output: Any, tokens: dict[str, int]) -> tuple[dict[str, int], list[str]]:
        """Give vLLM the tokens. Return the cached tokens that it reports by request id, and who finishes."""
        from vllm.v1.outputs import ModelRunnerOutput

        names = list(output.num_scheduled_tokens)
        sampled = ModelRunnerOutput(
            req_ids=names,
            req_id_to_index={name: index for index, name in enumerate(names)},
            sampled_token_ids=[[tokens[name]] if name in tokens else [] for name in names],
        )
        updates = self.scheduler.update_from_output(output, sampled).values()
        items = [item for update in updates for item in update.outputs]
        prefilled = (item for item in items if item.prefill_stats is not None)
        cached = {item.request_id: item.prefill_stats.num_cached_tokens for item in prefilled}
        return cached, [item.request_id for item in items if item.finish_reason is not None]
