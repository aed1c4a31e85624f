"""How people read values and texts: 0.4059 as "40.6 %", 1073741824 as "1.00 GiB", text safe for Markdown."""

import re
from collections.abc import Callable

from vllm_lab.common.errors import LabError

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~!&$])")


def display(value: float | int | str | None, unit: str, decimals: int | None = None) -> str:
    """The text of `value` in `unit`; `decimals` overrides the digits after the point.

    "fraction" is 0..1 and shown in per cent, "points" a difference of two fractions shown with its sign.
    A value of None is an en dash: the quantity is undefined here (no second access, so no reuse gap).
    """
    if unit not in UNITS:
        raise LabError(f"unit {unit!r} cannot be shown; add it to vllm_lab/common/display.py")
    if value is None:
        return "–"
    return value if isinstance(value, str) else UNITS[unit](value, decimals)


def escape(words: str) -> str:
    """Text that Markdown shows as it is, on one line; no HTML, no link and no table cell can come of it."""
    return _SPECIAL.sub(r"\\\1", " ".join(words.split()))


def _plain(value: float | int, decimals: int | None) -> str:
    if decimals is None and float(value).is_integer():
        return f"{int(value):,}".replace("-", "−")
    return _fixed(value, decimals, 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2)


def _percent(percent: float, decimals: int | None) -> str:
    """Three significant digits: 5.11, 40.6; 0 and 100 only where exact, so 99.99 is not 100."""
    if decimals is None and abs(percent) in (0, 100):
        return f"{percent:.0f}".replace("-", "−")
    return _fixed(percent, decimals, 1 if 10 <= abs(percent) < 99.9 else 2)


def _fixed(value: float, decimals: int | None, default: int, sign: bool = False) -> str:
    digits = default if decimals is None else decimals
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    if not text.strip("+-0.,"):
        return text.lstrip("+-")
    return text.replace("-", "−")


def _bytes(value: float, decimals: int | None) -> str:
    """Binary multiples, three significant digits: 1.50 KiB, 22.5 KiB, 512 MiB."""
    size = float(value)
    for name in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(size) < 1024 or name == "PiB":
            break
        size /= 1024
    default = 0 if name == "bytes" or abs(size) >= 100 else 1 if abs(size) >= 10 else 2
    return f"{_fixed(size, decimals, default)} {name}"


def _seconds(value: float, decimals: int | None) -> str:
    """Seconds below ten minutes, so that a column of gaps keeps one unit; then minutes, then hours."""
    scale, name = (1, "s") if abs(value) < 600 else (60, "min") if abs(value) < 7200 else (3600, "h")
    shown = value / scale
    if decimals is None and shown == 0:
        return "0 s"
    return f"{_fixed(shown, decimals, 2 if abs(shown) < 10 else 1 if abs(shown) < 100 else 0)} {name}"


_COUNTS = (
    "blocks", "calls", "conversations", "kernels", "lines", "messages", "preemptions", "records", "requests",
    "step", "steps", "streams", "tokens", "accesses/block", "",
)  # fmt: skip
_RATES = ("1/s", "requests/s", "tokens/s")
# Unit -> the text of a value in it, from the value and the digits after the point (None: the unit's own).
UNITS: dict[str, Callable[[float | int, int | None], str]] = {
    **dict.fromkeys(_COUNTS, _plain),
    **dict.fromkeys(_RATES, lambda value, digits: f"{_fixed(value, digits, 2)}/s"),
    "fraction": lambda value, digits: f"{_percent(100 * value, digits)} %",
    "%": lambda value, digits: f"{_percent(value, digits)} %",
    "points": lambda value, digits: f"{_fixed(100 * value, digits, 2, sign=True)} points",
    "x": lambda value, digits: f"{_fixed(value, digits, 1)}×",
    "bytes": _bytes,
    "GiB": lambda value, digits: _bytes(value * 2**30, digits),
    "GB": lambda value, digits: f"{_plain(value, digits)} GB",
    "GB/s": lambda value, digits: f"{_plain(value, digits)} GB/s",
    "s": _seconds,
    "ms": lambda value, digits: f"{_plain(value, digits)} ms",
    "s/token": lambda value, digits: f"{_plain(1e6 * value, digits)} µs/token",
}
