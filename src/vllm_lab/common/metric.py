"""What a metric is: a name for a number, with its unit and its definition.

Each package declares its metrics in one table, name -> Metric. Result documents carry unit and definition of
every number they hold, the report takes titles from here, and docs/metrics.md is made of these tables.
"""

from typing import NamedTuple

Value = float | int | None
_ACRONYMS = {"ttft", "tpot", "itl", "e2e", "kv", "cpu", "gpu", "os", "cuda"}


class Metric(NamedTuple):
    """A metric's unit, what it counts (a formula where there is one), its title and where it comes from."""

    unit: str
    definition: str
    title: str = ""  # for tables and figures; `title_of` makes one from the name where it is empty
    source: str = ""  # the paper, vLLM function or page that defines it


def title_of(name: str, metric: Metric | None = None) -> str:
    """The title of metric `name`: its own, or the name in words ("mean_ttft": "Mean TTFT")."""
    if metric is not None and metric.title:
        return metric.title
    words = " ".join(word.upper() if word in _ACRONYMS else word for word in name.split("_"))
    return words[:1].upper() + words[1:]


def qualified(name: str, metric: Metric, words: str) -> Metric:
    """The metric `name` under a condition: its definition and its title end with `words`."""
    title = f"{title_of(name, metric)}, {words}"
    return metric._replace(definition=f"{metric.definition}, {words}", title=title)
