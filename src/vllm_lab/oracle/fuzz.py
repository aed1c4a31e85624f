"""Random workloads through vLLM's scheduler and mini_vllm. A difference becomes a small test."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mini_vllm.tools.versions import VERSIONS
from vllm_lab.common.errors import LabError
from vllm_lab.oracle import engine
from vllm_lab.oracle.cases import Case, random_case, shrink
from vllm_lab.replay import mini
from vllm_lab.replay.comparison import compare
from vllm_lab.replay.replay import Result, TracedRequest

MUST_BE_EQUAL = tuple(name for name, version in VERSIONS.items() if version.exact)


@dataclass(frozen=True)
class Verdict:
    """The result of one case, and which hard situations of scheduling it met."""

    number: int
    version: str
    case: Case
    failure: str | None  # the comparison's report, or mini_vllm's traceback; None if equal
    steps: int
    preemptions: int
    evictions: int
    refused: int


def fuzz(version: str, count: int, seed: int) -> Iterator[Verdict]:
    """Yield the verdict of cases 0 to count - 1 of `seed`; caching is on for a version that caches."""
    for number in range(count):
        yield judge(version, number, random_case(f"{seed}/{number}", VERSIONS[version].caches))


def judge(version: str, number: int, case: Case) -> Verdict:
    """Replay one case on both sides."""
    requests = case.requests()
    oracle = engine.run(requests, case.limits)
    return Verdict(
        number=number,
        version=version,
        case=case,
        failure=_failure(version, oracle, requests, case),
        steps=len(oracle.steps),
        preemptions=sum(len(step.preempted) for step in oracle.steps),
        evictions=sum(len(step.evicted) for step in oracle.steps),
        refused=len(oracle.refused),
    )


def as_test(verdict: Verdict, seed: int) -> str:
    """The failing case, shrunk, as a test function ready to be pasted under tests/oracle."""
    small = shrink(verdict.case, lambda case: judge(verdict.version, 0, case).failure is not None)
    asks = "".join(f"\n            {ask!r}," for ask in small.asks)
    return (
        f"def test_{verdict.version}_takes_vllms_decisions_in_case_{verdict.number}_of_seed_{seed}():\n"
        f"    case = Case(\n        {small.limits!r},\n        ({asks}\n        ),\n    )\n"
        f'    assert judge("{verdict.version}", 0, case).failure is None\n'
    )


def summary(version: str, verdicts: Sequence[Verdict]) -> str:
    """One line: how many cases are equal, and how many of them met what makes scheduling hard."""
    unequal = sum(verdict.failure is not None for verdict in verdicts)
    met = ", ".join(
        f"{sum(getattr(verdict, name) > 0 for verdict in verdicts)} with {name}"
        for name in ("preemptions", "evictions", "refused")
    )
    return (
        f"{version}: {len(verdicts) - unequal} of {len(verdicts)} cases equal, {unequal} not "
        f"({met}; {sum(verdict.steps for verdict in verdicts)} steps)"
    )


def _failure(version: str, oracle: Result, requests: list[TracedRequest], case: Case) -> str | None:
    try:
        replayed = mini.run(version, requests, case.limits)
    except LabError:  # a mistake in the call, and no finding about mini_vllm
        raise
    except Exception:  # every fault of mini_vllm is a finding and is reported in full
        return traceback.format_exc()
    comparison = compare(oracle, replayed)
    return None if comparison.equal else comparison.report()
