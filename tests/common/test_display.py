"""Values as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_lab.common.display import UNITS, display
from vllm_lab.common.errors import LabError


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0511, "fraction", "5.11 %"),
        (0.40594, "fraction", "40.6 %"),
        (1.0, "fraction", "100 %"),
        (0.99992, "fraction", "99.99 %"),
        (0.0, "fraction", "0 %"),
        (-0.0123, "points", "−1.23 points"),
        (0.0123, "points", "+1.23 points"),
        (52_000_000, "tokens", "52,000,000"),
        (5335.67, "blocks", "5,336"),
        (2.3199, "accesses/block", "2.32"),
        (28.0, "accesses/block", "28"),
        (23040, "bytes", "22.5 KiB"),
        (1023, "bytes", "1,023 bytes"),
        (2**30, "bytes", "1.00 GiB"),
        (5.625, "GiB", "5.62 GiB"),
        (32.707, "s", "32.7 s"),
        (3536.999, "s", "58.9 min"),
        (2.017, "1/s", "2.02/s"),
        (10.04, "x", "10.0×"),
        (0.0, "s", "0 s"),
        (0.0003214, "s/token", "321.4 µs/token"),
        (2.9e-7, "s/token", "0.29 µs/token"),
        (-0.0001, "points", "−0.01 points"),
        (-0.00001, "points", "0.00 points"),
        (None, "s", "–"),
    ],
)
def test_values_are_shown_in_their_unit(value, unit, shown):
    assert display(value, unit) == shown


def test_decimals_can_be_asked_for():
    assert display(0.40594, "fraction", 2) == "40.59 %"


def test_an_unknown_unit_is_refused():
    with pytest.raises(LabError, match="furlongs"):
        display(1, "furlongs")


@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e18, max_value=1e18),
    st.sampled_from(list(UNITS)),
)
def test_every_finite_value_can_be_shown_on_one_line_without_a_hyphen_for_minus(value, unit):
    shown = display(value, unit)
    assert shown
    assert "\n" not in shown
    assert not shown.startswith("-")
