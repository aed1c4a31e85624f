"""One replay through a real engine: its steps by phase, throughput, latencies, hits and memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mini_vllm.clock import is_decode, kind_of_step
from vllm_lab.common.metric import Metric, title_of
from vllm_lab.engines.replay import RealStep
from vllm_lab.replay.replay import Outcome

CLOCK = "time.perf_counter around each LLMEngine.step, on CUDA after torch.cuda.synchronize"
KINDS = ("prefill", "decode", "mixed")  # of steps
KINDS_IN_WORDS = (
    "A step counts as prefill if every request in it computed its prompt, as decode if no request did, else "
    "as mixed."
)
THROUGHPUT = {
    "prefill_throughput": Metric("tokens/s", "prompt tokens computed in prefill steps / their seconds"),
    "decode_throughput": Metric("tokens/s", "output tokens of decode steps / their seconds"),
    "mixed_throughput": Metric("tokens/s", "prompt and output tokens of mixed steps / their seconds"),
    "end_to_end_throughput": Metric("tokens/s", "output tokens / total_time"),
    "total_token_throughput": Metric("tokens/s", "prompt and output tokens / total_time"),
    "total_time": Metric("s", "start of the first step to the end of the last"),
    "prefill_time": Metric("s", "seconds of prefill steps"),
    "decode_time": Metric("s", "seconds of decode steps"),
    "mixed_time": Metric("s", "seconds of mixed steps"),
    "prefill_steps": Metric("steps", "steps in which each request computed its prompt"),
    "decode_steps": Metric("steps", "steps in which no request computed its prompt"),
    "mixed_steps": Metric("steps", "all other steps"),
}


LATENCIES = {
    "first_token_latency_ms": Metric("ms", "arrival to first token", "TTFT"),
    "time_per_output_token_ms": Metric("ms", "(last token - first token) / (output tokens - 1)", "TPOT"),
    "total_latency_ms": Metric("ms", "arrival to last token", "E2E"),
}
_FIELDS = dict(zip(LATENCIES, ("ttft", "tpot", "e2e"), strict=True))  # of Outcome, in s


def qualified(name: str, metric: Metric, words: str) -> Metric:
    """The metric `name` under a condition: its definition and its title end with `words`."""
    return metric._replace(
        definition=f"{metric.definition}, {words}", title=f"{title_of(name, metric)}, {words}"
    )


def of_sides(metrics: Mapping[str, Metric], sides: Iterable[str]) -> dict[str, Metric]:
    """`metrics` of each side of a comparison, named {side}_{metric}."""
    return {
        f"{side}_{name}": qualified(name, metric, side.replace("_", " "))
        for side in sides
        for name, metric in metrics.items()
    }


def values_of_sides(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Values of the metrics of `of_sides`. `values`: side -> metric -> value."""
    return {f"{side}_{name}": value for side, own in values.items() for name, value in own.items()}


@dataclass
class Phase:
    """All steps of one kind."""

    steps: int = 0
    seconds: float = 0.0
    prompt_tokens: int = 0  # computed
    output_tokens: int = 0  # that appeared


@dataclass(frozen=True)
class Memory:
    """Bytes, on CUDA as its allocator counts them, on the CPU of tensors and of the resident set."""

    weights: int | None  # None on the CPU, where vLLM packs the weights of layers
    kv_cache: int
    before: int  # in use when the replay began
    peak: int  # in use at most during the replay


@dataclass(frozen=True)
class Replayed:
    """A replay that started with an empty prefix cache and preempted no request."""

    steps: list[RealStep]
    requests: list[Outcome]  # in order of arrival
    prompts: Mapping[str, int]  # request id -> prompt tokens
    counters: Mapping[str, int]  # growth of vLLM's counters of hits; empty without log_stats
    memory: Memory

    @property
    def total_time(self) -> float:
        """Seconds from the start of the first step to the end of the last."""
        return self.steps[-1].time + self.steps[-1].seconds - self.steps[0].time

    def phases(self) -> dict[str, Phase]:
        """The steps by KINDS.

        A step that computes the end of a prompt also yields that request's first output token.
        """
        found = {kind: Phase() for kind in KINDS}
        for step in self.steps:
            scheduled = step.scheduled
            start = {name: step.computed[name] - tokens for name, tokens in scheduled.items()}
            prefilling = [
                name
                for name, tokens in scheduled.items()
                if not is_decode(tokens, start[name], self.prompts[name])
            ]
            phase = found[kind_of_step(len(prefilling), len(scheduled) - len(prefilling))]
            phase.steps += 1
            phase.seconds += step.seconds
            phase.prompt_tokens += sum(
                min(step.computed[name], self.prompts[name]) - start[name] for name in prefilling
            )
            phase.output_tokens += sum(step.computed[name] >= self.prompts[name] for name in scheduled)
        return found

    def throughput(self) -> dict[str, float]:
        """Values of THROUGHPUT's metrics, without those of a kind of step that did not occur."""
        outputs = sum(row.output_tokens for row in self.requests)
        values = {
            "total_time": self.total_time,
            "end_to_end_throughput": outputs / self.total_time,
            "total_token_throughput": (outputs + sum(self.prompts.values())) / self.total_time,
        }
        for kind, phase in self.phases().items():
            if phase.steps:
                tokens = {"prefill": phase.prompt_tokens, "decode": phase.output_tokens}
                tokens["mixed"] = phase.prompt_tokens + phase.output_tokens
                values |= {
                    f"{kind}_throughput": tokens[kind] / phase.seconds,
                    f"{kind}_time": phase.seconds,
                    f"{kind}_steps": phase.steps,
                }
        return values

    def latencies_ms(self, counted: slice = slice(None)) -> dict[str, list[float]]:
        """LATENCIES (ms) of the requests in `counted`, in order of arrival."""
        rows = self.requests[counted]
        return {name: [1000 * getattr(row, field) for row in rows] for name, field in _FIELDS.items()}
