"""What is read off hit-rate curves."""

import pytest

from tests.report.example import recorded, report_of
from tests.report.record import RECORDED
from vllm_lab.report.parts.sharing_sweeps import curves, hardest_capacity
from vllm_lab.report.results import CsvRow

HEADER = (
    "trace",
    "block_size",
    "policy",
    "capacity_tokens",
    "capacity_blocks",
    "capacity_gib",
    "token_hit_rate",
)


def made(policy: str, rates: dict[str, float], gib: str = "1.5") -> list[CsvRow]:
    return [
        CsvRow(
            "results/a.csv",
            "deterministic",
            dict(zip(HEADER, ("multi_turn", "16", policy, capacity, "4", gib, str(rate)), strict=True)),
        )
        for capacity, rate in rates.items()
    ]


def test_the_needed_capacity_is_the_smallest_swept_one_that_reaches_the_share():
    (curve,) = curves(made("lru", {"inf": 0.5, "200": 0.46, "100": 0.25}))
    tokens, size = curve.needed(0.5)
    assert (tokens.value, tokens.unit, tokens.status) == (100, "tokens", "derived")
    assert (size.value, size.unit) == (1.5, "GiB")
    assert curve.needed(0.9)[0].value == 200


def test_a_share_that_no_bounded_capacity_reaches_is_not_invented():
    (curve,) = curves(made("lru", {"100": 0.25, "inf": 0.5}))
    assert curve.needed(0.95) is None


def test_a_capacity_without_a_model_has_no_bytes():
    (curve,) = curves(made("lru", {"100": 0.5, "inf": 0.5}, gib=""))
    assert curve.needed(0.5)[1] is None


def test_the_policy_matters_most_where_the_rates_lie_furthest_apart():
    found = curves(
        made("lru", {"1": 0.1, "2": 0.4, "3": 0.5, "inf": 0.5})
        + made("fifo", {"1": 0.1, "2": 0.2, "3": 0.3, "inf": 0.5})
    )
    assert hardest_capacity(found) == 2


def test_a_rate_says_where_it_stands_in_the_table():
    (curve,) = curves(made("lru", {"100": 0.25, "inf": 0.5}))
    rate = curve.rate(100)
    assert (rate.value, rate.status) == (0.25, "deterministic")
    assert rate.key == "token_hit_rate where trace=multi_turn, block_size=16, policy=lru, capacity_tokens=100"


@pytest.mark.parametrize("size", [8, 64])
def test_a_sweep_without_the_block_size_of_the_statistics_is_shown_at_another(tmp_path, size):
    body = recorded("sharing/multi_turn_stats.json") | {"block_size": size}
    swept = (RECORDED / "results/sharing/sweeps/hit_rates.csv").read_text(encoding="utf-8")
    jobs = [("sharing_analysis", "sharing/multi_turn_stats.json", body),
            ("sharing_sweep_table", "sharing/sweeps/hit_rates.csv", swept)]  # fmt: skip
    page, _ = report_of(tmp_path, *jobs)
    shown = size if size == 8 else 16  # the middle one of those swept
    assert f"Prompt tokens found in the cache, multi-turn trace, blocks of {shown} tokens." in page
