"""One workload with an optimisation off and on, in turns: tests 2.2 to 2.4 of docs/plan.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vllm_lab.common.errors import Unavailable
from vllm_lab.common.metric import Metric
from vllm_lab.measure.document import Test
from vllm_lab.measure.repeats import Reading
from vllm_lab.measure.worker import CLOCK, Replayed
from vllm_lab.plan.job import Job
from vllm_lab.plan.sides import IN_TURNS, in_turns, metrics_of_sides, side_by_side, values_of_sides
from vllm_lab.replay.replay import TracedRequest

EACH = (  # the metrics of each side
    "total_time", "prefill_throughput", "decode_throughput", "end_to_end_throughput", "decode_step_ms",
    "first_token_latency_ms", "time_per_output_token_ms",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """What is compared: the engine's settings `without` and `with_` an optimisation, each with its name."""

    id: str
    name: str
    question: str
    method: str
    without: tuple[str, Mapping[str, Any]]
    with_: tuple[str, Mapping[str, Any]]
    needs: str = ""  # the only device that has it
    loaded: bool = False  # requests arrive one by one instead of all at once
    gain: str = "throughput_improvement"  # the metric of what is gained in throughput, %
    step_gain: str = "decode_step_reduction"  # the metric of how much shorter a decode step is, %

    @property
    def test(self) -> Test:
        """Its metrics: what the second side gains on the first, and EACH of both sides."""
        off, on = self.without[0], self.with_[0]
        gains = {
            self.gain: Metric("%", f"100 x ({on} / {off} - 1) of end_to_end_throughput, of each run"),
            self.step_gain: Metric("%", f"100 x (1 - {on} / {off}) of decode_step_ms, of each run"),
            "speedup": Metric("x", f"{off}_total_time / {on}_total_time of each run"),
        }
        method, metrics = f"{IN_TURNS} {self.method}", gains | metrics_of_sides((off, on), EACH)
        return Test(self.id, self.name, self.question, method, CLOCK, metrics, "speedup")


PAIRS = {
    pair.id: pair
    for pair in (
        Pair(
            "scheduler", "Prefill and decode separated against mixed",
            "Are steps that only prefill or only decode better than vLLM's mixed steps?",
            "Requests arrive as a Poisson process. Mixed: vLLM's own scheduler. Separated: a scheduler class "
            "given to vLLM lets prefills go first, in steps without decodes.",
            ("mixed", {"scheduler": "mixed"}),
            ("separated", {"scheduler": "separated"}),
            loaded=True, gain="improvement_vs_mixed_scheduler",
        ),
        Pair(
            "cuda_graphs", "CUDA graphs off and on",
            "How much time do CUDA graphs save in a decode step?",
            "Compiled on both sides: cudagraph_mode NONE against vLLM's default.",
            ("no_graphs", {"enforce_eager": False, "cuda_graphs": False}),
            ("graphs", {"enforce_eager": False}),
            needs="cuda", step_gain="cpu_overhead_reduction",
        ),
        Pair(
            "torch_compile", "torch.compile against eager",
            "How much faster does the model run when torch.compile has compiled it?",
            "No CUDA graphs on either side, so that only compilation differs.",
            ("eager", {"enforce_eager": True}),
            ("compiled", {"enforce_eager": False, "cuda_graphs": False}),
        ),
    )
}  # fmt: skip


def document(pair: Pair, job: Job, requests: Sequence[TracedRequest]) -> dict[str, Any]:
    """Measure and return the pair's document. Unavailable where the device has nothing to compare."""
    settings = job.settings(requests)
    if pair.needs and settings.device != pair.needs:
        raise Unavailable(f"{pair.name}: only on {pair.needs}; the device here is {settings.device}")
    sides = {name: replace(settings, **changes) for name, changes in (pair.without, pair.with_)}
    with side_by_side(sides, requests) as engines:
        runs = job.runs(lambda run: Reading(_values(pair, in_turns(engines, requests, run))), pair.test)
        environments = {name: engine.environment for name, engine in engines.items()}
    return job.document(pair.test, environments, runs)


def _values(pair: Pair, replays: Mapping[str, Replayed]) -> dict[str, float]:
    """Values of the pair's metrics; `replays`: of both sides, the one without first."""
    values = values_of_sides(replays, EACH)
    off, on = replays
    throughput = values[f"{on}_end_to_end_throughput"] / values[f"{off}_end_to_end_throughput"]
    values[pair.gain] = 100 * (throughput - 1)
    values["speedup"] = values[f"{off}_total_time"] / values[f"{on}_total_time"]
    steps = [values.get(f"{side}_decode_step_ms") for side in (on, off)]
    if None not in steps:  # requests of one output token have no decode step
        values[pair.step_gain] = 100 * (1 - steps[0] / steps[1])
    return values
