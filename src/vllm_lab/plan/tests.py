"""The tests of the benchmark plan (docs/plan.md): one table, in the plan's order.

The rules, the configuration's schema, the figures and the report read it. What a test measures, and how, is
in the module that runs it. That module does not import this table, so a new line here reruns no measurement.
"""

from collections.abc import Mapping
from typing import NamedTuple

SUFFIX = "_sharegpt"  # of the ids of tests on the prompts of the trace


class Panel(NamedTuple):
    """One panel of a test's figure."""

    label: str  # of the y axis
    metrics: Mapping[str, str]  # metric -> its words in the legend


class PlanTest(NamedTuple):
    """A test's place in the plan, what runs it and how its figure looks."""

    id: str
    place: str  # its number in docs/plan.md
    kind: str  # the script is scripts/plan_KIND.py, the rule plan_KIND
    panels: tuple[Panel, ...] = ()  # without any, the figure shows the test's headline
    x: str = "run"  # or devices: throughput and efficiency over their number

    @property
    def job(self) -> str:
        """The name by which config.yaml asks for the test; tests of one job are measured together."""
        return self.id if self.kind == "pair" else self.kind

    @property
    def paired(self) -> bool:
        """Whether two engines take turns, with something off and on."""
        return self.kind in ("pair", "prefix_cache")


def _pair(id: str, place: str, without: str, with_: str) -> PlanTest:
    """A test of plan/pairs.py, by the names of its two sides there."""
    sides = {side: side.replace("_", " ") for side in (without, with_)}
    panels = [
        Panel(label, {f"{side}_{metric}": words for side, words in sides.items()})
        for metric, label in (("total_time", "total time (s)"), ("decode_step_ms", "decode step (ms)"))
    ]
    return PlanTest(id, place, "pair", tuple(panels))


_THROUGHPUT = (
    Panel("tokens/s", {"prefill_throughput": "prefill", "total_token_throughput": "all, whole run"}),
    Panel("tokens/s", {"decode_throughput": "decode", "end_to_end_throughput": "output, whole run"}),
)
_LATENCY = tuple(
    Panel(label, {f"{metric}_ms": "alone", f"loaded_{metric}_p50_ms": "loaded"})
    for label, metric in (("TTFT (ms)", "first_token_latency"), ("TPOT (ms)", "time_per_output_token"))
)
_MEMORY = Panel("GB", {
    "model_weight_memory_gb": "weights", "kv_cache_memory_gb": "KV cache",
    "activation_memory_gb": "activations", "total_peak_memory_gb": "peak",
})  # fmt: skip
_PREFIX_CACHE = (
    Panel("total time (s)", {"off_total_time": "off", "on_total_time": "on"}),
    Panel("speedup (×)", {"actual_speedup_ratio": "off / on"}),
)
TESTS = {
    test.id: test
    for test in (
        PlanTest("throughput", "1.1", "basics", _THROUGHPUT),
        PlanTest("latency", "1.2", "basics", _LATENCY),
        PlanTest("memory", "1.3", "basics", (_MEMORY,)),
        PlanTest("prefix_cache", "2.1", "prefix_cache", _PREFIX_CACHE),
        _pair("scheduler", "2.2", "mixed", "separated"),
        _pair("cuda_graphs", "2.3", "no_graphs", "graphs"),
        _pair("torch_compile", "2.4", "eager", "compiled"),
        PlanTest("single_device", "3.1", "scaling", _THROUGHPUT),
        PlanTest("strong_scaling", "3.2", "scaling", x="devices"),
        PlanTest("weak_scaling", "3.3", "scaling", x="devices"),
        PlanTest("code_quality", "4", "code_quality"),
    )
}
JOBS = {  # the jobs that run vLLM -> the ids of their tests
    job: tuple(test.id for test in TESTS.values() if test.job == job)
    for job in dict.fromkeys(test.job for test in TESTS.values() if test.kind != "code_quality")
}
CHOICES = (*JOBS, *(job + SUFFIX for job in JOBS))  # what `plan.tests` in config.yaml may name


def find(test_id: str) -> PlanTest | None:
    """The test with this id, on either kind of prompts; None for an id that the plan does not have."""
    return TESTS.get(test_id.removesuffix(SUFFIX))


def order(test_id: str) -> tuple[int, str]:
    """The key by which test ids sort in the plan's order; ids that the plan does not have come last."""
    places = list(TESTS)
    base = test_id.removesuffix(SUFFIX)
    return (places.index(base) if base in TESTS else len(places)), test_id


def chosen(choice: str) -> tuple[str, ...]:
    """The ids of the tests that one of CHOICES asks for."""
    suffix = SUFFIX if choice.endswith(SUFFIX) else ""
    return tuple(test + suffix for test in JOBS[choice.removesuffix(SUFFIX)])
