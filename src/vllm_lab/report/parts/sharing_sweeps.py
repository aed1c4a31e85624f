"""Hit rate against capacity, block size and eviction policy: from sharing/sweeps/hit_rates.csv."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from vllm_lab.common.display import display
from vllm_lab.report.blocks import Answer, Block, Cell, Heading, Number, Text, joined, numbers, table, text
from vllm_lab.report.parts.traces import OWN, ordered, trace_label
from vllm_lab.report.results import CsvRow, Results, derived
from vllm_lab.sharing.metrics import HIT_RATES
from vllm_lab.sharing.policies import BOUND, policy_title

_FILE = "sharing/sweeps/hit_rates.csv"
_KEY = ("trace", "block_size", "policy", "capacity_tokens")
_SHARES = (0.5, 0.8, 0.9, 0.95)
_FIGURES = {
    "hit_rate_curves": "Block hit rate against the capacity of the cache, one line per eviction policy.",
    "hit_rate_heatmap": "The same block hit rates in per cent, as a map with one row per policy and one "
    "column per capacity.",
}


@dataclass(frozen=True)
class Curve:
    """One trace, block size and policy.

    `rows` maps each capacity (tokens, inf for an unbounded cache) to its row, by rising capacity. The last
    one is unbounded.
    """

    trace: str
    block_size: int
    policy: str
    rows: Mapping[float, CsvRow]

    @property
    def bounded(self) -> list[float]:
        """All capacities but the last."""
        return list(self.rows)[:-1]

    @property
    def unbounded(self) -> float:
        """The last capacity."""
        return list(self.rows)[-1]

    def hit_rate(self, capacity: float) -> float:
        """Tokens found / prompt tokens, 0..1."""
        return self.rows[capacity].float("token_hit_rate")

    def rate(self, capacity: float) -> Number:
        """The hit rate of tokens as a Number of the sweep's file."""
        where = "unbounded" if capacity == inf else f"{capacity:.0f}"
        return self.rows[capacity].number(
            f"{self._id}.{where}",
            HIT_RATES["token_hit_rate"].unit,
            "token_hit_rate",
            where=_KEY,
            label=f"{self._name}: prompt tokens found, capacity {where}",
        )

    def needed(self, share: float) -> tuple[Number, Number | None] | None:
        """The smallest bounded capacity with `share` (0..1) of the unbounded hit rate.

        In tokens and, where the bytes of a token are known, GiB. None where no swept capacity reaches it.
        """
        wanted = share * self.hit_rate(self.unbounded)
        capacity = next((tried for tried in self.bounded if self.hit_rate(tried) >= wanted), None)
        if capacity is None:
            return None
        percent = f"{100 * share:.0f}"
        label = f"{self._name}: {{}} for {percent} % of the unbounded hit rate"
        id, rate = f"{self._id}.needed_{percent}", self.rate(capacity)
        formula = f"smallest swept capacity with token_hit_rate >= {share} x unbounded"
        tokens = derived(f"{id}.tokens", int(capacity), "tokens", formula, rate, label=label.format("tokens"))
        if not self.rows[capacity].text("capacity_gib"):
            return tokens, None
        size = self.rows[capacity].float("capacity_gib")
        return tokens, derived(f"{id}.gib", size, "GiB", formula, rate, label=label.format("KV cache"))

    @property
    def _name(self) -> str:
        return f"{trace_label(self.trace)}, {self.policy}, blocks of {self.block_size}"

    @property
    def _id(self) -> str:
        return f"sharing.sweeps.{self.trace}.block_{self.block_size}.{self.policy}"


def swept(results: Results) -> list[Curve]:
    """The curves of the sweep; none where nothing was swept."""
    return curves(results.rows(_FILE)) if results.has(_FILE) else []


def curves(rows: Iterable[CsvRow]) -> list[Curve]:
    """The curves in a sweep's table, in its order."""
    found: dict[tuple[str, int, str], dict[float, CsvRow]] = {}
    for row in rows:
        key = (row.text("trace"), int(row.text("block_size")), row.text("policy"))
        found.setdefault(key, {})[row.float("capacity_tokens")] = row
    return [Curve(*key, dict(sorted(of_curve.items()))) for key, of_curve in found.items()]


def hardest_capacity(online: Sequence[Curve]) -> float:
    """The capacity at which the choice of policy matters most: the first with the widest spread."""

    def spread(capacity: float) -> float:
        rates = [curve.hit_rate(capacity) for curve in online]
        return max(rates) - min(rates)

    return max(online[0].rows, key=spread)


def sweep_blocks(results: Results, sizes: Mapping[str, int]) -> tuple[list[Block], list[Answer]]:
    """The sweeps' blocks and answers, if there is a sweep. `sizes`: trace -> block size of its statistics."""
    found = swept(results)
    if not found:
        return [], []
    own = [curve for curve in found if curve.trace in OWN]
    tried = sorted({curve.block_size for curve in own or found})
    size = next((sizes[trace] for trace in OWN if sizes.get(trace) in tried), tried[len(tried) // 2])
    shown: list[Block] = [
        Heading("Cache capacity and eviction policy", "sharing-sweeps"),
        text(
            "A cached block can be reached only through the blocks before it, so a policy that evicts a "
            "block makes the blocks behind it useless. The figures count blocks. The tables count the prompt "
            "tokens that were found in the cache, so that block sizes can be compared. The policy {bound} "
            "knows the future. It is no choice in practice, but it bounds all others.",
            bound=policy_title(BOUND),
        ),
    ]
    for name, caption in _FIGURES.items():
        shown += results.figure(f"sharing/sweeps/figures/{name}", caption)
    for trace in ordered({curve.trace for curve in found}):
        of_trace = [curve for curve in found if curve.trace == trace]
        shown_size = size if trace in OWN else of_trace[0].block_size
        at_size = [curve for curve in of_trace if curve.block_size == shown_size]
        shown += [Heading(trace_label(trace), level=4), *_trace_tables(trace, at_size)]
    shown += [Heading("Block sizes", level=4), _block_size_table(own)] if own else []
    return shown, _answers(found, size)


def _capacity(curve: Curve, capacity: float) -> str:
    """A swept capacity in words; traces without a model are swept in blocks."""
    if capacity == inf:
        return "unbounded"
    row = curve.rows[capacity]
    if row.text("capacity_gib"):
        return f"{capacity:,.0f} tokens ({display(row.float('capacity_gib'), 'GiB')})"
    return f"{int(row.text('capacity_blocks')):,} blocks"


def _trace_tables(trace: str, at_size: list[Curve]) -> list[Block]:
    """For each policy: what it finds with each capacity, and the capacity that it needs for some shares."""
    first = at_size[0]
    of_trace = f"{trace_label(trace).lower()} trace, blocks of {first.block_size} tokens"
    policies = [policy_title(curve.policy) for curve in at_size]
    rates = (
        (_capacity(first, capacity), *(curve.rate(capacity) for curve in at_size)) for capacity in first.rows
    )
    needed = (
        (policy, *(_needed(curve, share) for share in _SHARES))
        for policy, curve in zip(policies, at_size, strict=True)
    )
    found = f"Prompt tokens found in the cache, {of_trace}."
    reached = (
        "The smallest swept capacity, in tokens, that reaches each share of the unbounded hit rate, "
        f"{of_trace}."
    )
    shares = numbers(*(f"{100 * share:.0f} %" for share in _SHARES))
    return [
        table(f"rates-{trace}", found, numbers("Capacity", *policies), rates),
        table(f"needed-{trace}", reached, ("Policy", *shares), needed),
    ]


def _needed(curve: Curve, share: float) -> Cell:
    needed = curve.needed(share)
    if needed is None:
        return "more than swept"
    tokens, size = needed
    return tokens if size is None else text("{tokens} ({size})", tokens=tokens, size=size)


def _block_size_table(own: list[Curve]) -> Block:
    """Policy lru at every block size: the unbounded rate and what a capacity gives."""
    lru = [curve for curve in own if curve.policy == "lru"]
    lru.sort(key=lambda curve: (OWN.index(curve.trace), curve.block_size))
    rows = (
        (trace_label(curve.trace), str(curve.block_size), curve.rate(curve.unbounded), _needed(curve, 0.9))
        for curve in lru
    )
    columns = ("Trace", *numbers("Block size", "Unbounded hit rate", "Capacity for 90 % of it"))
    return table("sweep-block-sizes", "The policy lru with each block size, in tokens.", columns, rows)


def _answers(found: list[Curve], size: int) -> list[Answer]:
    of_trace = [curve for curve in found if curve.trace == "multi_turn"]
    at_size = {curve.policy: curve for curve in of_trace if curve.block_size == size}
    if "lru" not in at_size:
        return []
    answers = [Answer("How much cache does that take?", (_capacity_answer(at_size["lru"]),))]
    by_size = sorted((c for c in of_trace if c.policy == "lru"), key=lambda curve: curve.block_size)
    paragraphs = [_block_size_answer(by_size)] if len(by_size) > 1 else []
    online = [curve for policy, curve in at_size.items() if policy != BOUND]
    if len(online) > 1:
        paragraphs.append(_policy_answer(online, at_size))
    if paragraphs:
        answers.append(Answer("Which block size, which eviction policy?", tuple(paragraphs)))
    return answers


def _capacity_answer(lru: Curve) -> Text:
    reached = [(share, needed) for share in (0.5, 0.9) if (needed := lru.needed(share))]
    all = lru.rate(lru.unbounded)
    if not reached:
        return text(
            "It takes more than the sweep tried. With lru the largest capacity finds {rate} of the prompt "
            "tokens, and an unbounded cache finds {all}.",
            rate=lru.rate((lru.bounded or [lru.unbounded])[-1]),
            all=all,
        )
    sentences = [text("An unbounded cache with lru finds {all} of the multi-turn prompt tokens.", all=all)]
    for share, (tokens, size) in reached:
        cache = text(" ({size} of KV cache)", size=size) if size else ""
        sentence = "A cache of {tokens} tokens{cache} reaches {share} % of that."
        sentences.append(text(sentence, tokens=tokens, cache=cache, share=f"{100 * share:.0f}"))
    return joined(" ", sentences)


def _block_size_answer(by_size: list[Curve]) -> Text:
    rates = {f"size{curve.block_size}": curve.rate(curve.unbounded) for curve in by_size}
    parts = ", ".join(f"{{size{c.block_size}}} with blocks of {c.block_size} tokens" for c in by_size)
    first, last = by_size[0], by_size[-1]
    spread = derived(
        "sharing.sweeps.multi_turn.block_size_spread",
        first.hit_rate(first.unbounded) - last.hit_rate(last.unbounded),
        "points",
        f"unbounded token_hit_rate, blocks of {first.block_size} less blocks of {last.block_size}",
        rates[f"size{first.block_size}"],
        label="Multi-turn: hit rate of the smallest blocks less that of the largest",
    )
    return text(
        f"An unbounded cache finds {parts}. From the largest blocks to the smallest that is {{spread}}. "
        "Smaller blocks find more, because less of a shared beginning is in a block that is not full. They "
        "cost more bookkeeping.",
        spread=spread,
        **rates,
    )


def _policy_answer(online: list[Curve], at_size: dict[str, Curve]) -> Text:
    capacity = hardest_capacity(online)
    ranked = sorted(online, key=lambda curve: (-curve.hit_rate(capacity), curve.policy))
    best, worst = ranked[0], ranked[-1]
    bound = at_size.get(BOUND)
    limit = text(" No policy can exceed {rate}.", rate=bound.rate(capacity)) if bound else ""
    return text(
        "The policy matters most with a capacity of {where}. There {best_name} finds {best} and {worst_name} "
        "finds {worst}.{limit}",
        where=_capacity(best, capacity),
        best_name=policy_title(best.policy),
        best=best.rate(capacity),
        worst_name=policy_title(worst.policy),
        worst=worst.rate(capacity),
        limit=limit,
    )
