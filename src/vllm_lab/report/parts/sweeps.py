"""Hit rate against capacity, block size and eviction policy: from sweeps/hit_rates.csv and its figures."""

from vllm_lab.common.display import display
from vllm_lab.report.blocks import Answer, Block, Cell, Column, Figure, Heading, Section, Table, Text, text
from vllm_lab.report.curves import BOUND, Curve, curves, hardest_capacity
from vllm_lab.report.results import Results, derived
from vllm_lab.report.trace_names import OWN, ordered, trace_label

_FILE = "sharing/sweeps/hit_rates.csv"
_SHARES = (0.5, 0.8, 0.9, 0.95)
_FIGURES = (
    ("hit_rate_curves", "Block hit rate against the cache's capacity, a line for each eviction policy."),
    ("hit_rate_heatmap", "The same block hit rates in per cent, as a map: policies down, capacities across."),
)


def build(results: Results) -> Section | None:
    """The sweeps' section; None where nothing was swept."""
    if not results.has(_FILE):
        return None
    found = curves(results.rows(_FILE))
    if not found:
        return None
    size = _main_block_size(results, found)
    blocks: list[Block] = [
        text(
            "A cached block can be reached only through the blocks before it: a policy that evicts a parent "
            "strands its children. The figures count blocks; the tables count prompt tokens found in the "
            "cache, so that block sizes can be compared. The policy {bound} knows the future: it is the "
            "bound, not a choice.",
            bound=BOUND,
        )
    ]
    blocks += [block for name, caption in _FIGURES if (block := _figure(results, name, caption))]
    traces = ordered({curve.trace for curve in found})
    for trace in traces:
        mine = [curve for curve in found if curve.trace == trace]
        own_size = size if trace in OWN else mine[0].block_size
        at_size = [curve for curve in mine if curve.block_size == own_size]
        blocks += [
            Heading(trace_label(trace)),
            _rate_table(trace, own_size, at_size),
            _needed_table(trace, own_size, at_size),
        ]
    own = [curve for curve in found if curve.trace in OWN]
    if own:
        blocks += [Heading("Block sizes"), _block_size_table(own)]
    return Section("sweeps", "Cache capacity and eviction policy", tuple(blocks), _answers(found, size))


def _main_block_size(results: Results, found: list[Curve]) -> int:
    """The statistics' block size where there are any, else the middle one swept."""
    for trace in OWN:
        if results.has(f"sharing/{trace}_stats.json"):
            return results.json(f"sharing/{trace}_stats.json").value("block_size")
    sizes = sorted({curve.block_size for curve in found})
    return sizes[len(sizes) // 2]


def _figure(results: Results, name: str, caption: str) -> Figure | None:
    image = results.image(f"sharing/sweeps/figures/{name}")
    return image and Figure(
        name, image, text(caption), f"{caption} The tables of this section hold the values."
    )


def _capacity(curve: Curve, capacity: float) -> str:
    """A swept capacity in words; traces without a model are swept in blocks."""
    if capacity == float("inf"):
        return "unbounded"
    row = curve.at(capacity).row
    if row.text("capacity_gib"):
        return f"{capacity:,.0f} tokens ({display(row.float('capacity_gib'), 'GiB')})"
    return f"{int(row.text('capacity_blocks')):,} blocks"


def _rate_table(trace: str, size: int, at_size: list[Curve]) -> Table:
    first = at_size[0]
    rows = tuple(
        (
            _capacity(first, point.capacity),
            *(curve.rate(curve.at(point.capacity)) for curve in at_size),
        )
        for point in first.points
    )
    columns = (Column("Capacity", numeric=True), *(Column(curve.policy, numeric=True) for curve in at_size))
    caption = f"Prompt tokens found, {trace_label(trace).lower()} trace, blocks of {size} tokens."
    return Table(f"rates-{trace}", text(caption), columns, rows)


def _needed_table(trace: str, size: int, at_size: list[Curve]) -> Table:
    rows = tuple((curve.policy, *(_needed(curve, share) for share in _SHARES)) for curve in at_size)
    columns = (Column("Policy"), *(Column(f"{100 * share:.0f} %", numeric=True) for share in _SHARES))
    caption = (
        f"Smallest swept capacity in tokens that reaches so much of the unbounded hit rate, "
        f"{trace_label(trace).lower()} trace, blocks of {size} tokens."
    )
    return Table(f"needed-{trace}", text(caption), columns, rows)


def _needed(curve: Curve, share: float) -> Cell:
    needed = curve.needed(share)
    if needed is None:
        return "more than swept"
    tokens, size = needed
    return tokens if size is None else text("{tokens} ({size})", tokens=tokens, size=size)


def _block_size_table(own: list[Curve]) -> Table:
    """Policy lru at every block size: the unbounded rate and what a capacity gives."""
    lru = [curve for curve in own if curve.policy == "lru"]
    lru.sort(key=lambda curve: (OWN.index(curve.trace), curve.block_size))
    rows = tuple(
        (
            trace_label(curve.trace),
            str(curve.block_size),
            curve.rate(curve.unbounded),
            _needed(curve, 0.9),
        )
        for curve in lru
    )
    columns = (
        Column("Trace"),
        Column("Block size", numeric=True),
        Column("Unbounded", numeric=True),
        Column("Capacity for 90 % of it", numeric=True),
    )
    return Table("sweep-block-sizes", text("Policy lru at each block size (in tokens)."), columns, rows)


def _answers(found: list[Curve], size: int) -> tuple[Answer, ...]:
    mine = [curve for curve in found if curve.trace == "multi_turn"]
    at_size = {curve.policy: curve for curve in mine if curve.block_size == size}
    if "lru" not in at_size:
        return ()
    answers = [Answer("How much cache does that take?", (_capacity_answer(at_size["lru"]),))]
    by_size = sorted((c for c in mine if c.policy == "lru"), key=lambda curve: curve.block_size)
    paragraphs = [_block_size_answer(by_size)] if len(by_size) > 1 else []
    online = [curve for policy, curve in at_size.items() if policy != BOUND]
    if len(online) > 1:
        paragraphs.append(_policy_answer(online, at_size))
    if paragraphs:
        answers.append(Answer("Which block size, which eviction policy?", tuple(paragraphs)))
    return tuple(answers)


def _capacity_answer(lru: Curve) -> Text:
    reached = [(share, needed) for share in (0.5, 0.9) if (needed := lru.needed(share))]
    if not reached:
        return text(
            "More than was swept: with lru the largest capacity finds {rate} of the prompt tokens, an "
            "unbounded one {all}.",
            rate=lru.rate(lru.points[-2] if len(lru.points) > 1 else lru.unbounded),
            all=lru.rate(lru.unbounded),
        )
    template = "With lru, unbounded, {all} of multi-turn prompt tokens are found."
    values: dict[str, Cell] = {"all": lru.rate(lru.unbounded)}
    for share, (tokens, size) in reached:
        percent = f"{100 * share:.0f}"
        values |= {f"tokens{percent}": tokens, f"size{percent}": size}
        inside = f", {{size{percent}}} of KV cache" if size else ""
        template += f" {percent} % of that is reached with {{tokens{percent}}} tokens{inside}."
    return text(template, **{key: value for key, value in values.items() if value is not None})


def _block_size_answer(by_size: list[Curve]) -> Text:
    parts = ", ".join(
        f"{{size{curve.block_size}}} with blocks of {curve.block_size} tokens" for curve in by_size
    )
    rates = {f"size{curve.block_size}": curve.rate(curve.unbounded) for curve in by_size}
    first, last = by_size[0], by_size[-1]
    spread = derived(
        "sweeps.multi_turn.block_size_spread",
        first.unbounded.hit_rate - last.unbounded.hit_rate,
        "points",
        f"unbounded token_hit_rate, blocks of {first.block_size} less blocks of {last.block_size}",
        rates[f"size{first.block_size}"],
        label="Multi-turn: what the smallest blocks find beyond the largest",
    )
    return text(
        f"Unbounded, a cache finds {parts}: {{spread}} from the largest blocks to the smallest. Smaller "
        "blocks find more, since less of a shared beginning falls into a block that is not full; they cost "
        "more bookkeeping.",
        spread=spread,
        **rates,
    )


def _policy_answer(online: list[Curve], at_size: dict[str, Curve]) -> Text:
    capacity = hardest_capacity(online)
    ranked = sorted(online, key=lambda curve: (-curve.at(capacity).hit_rate, curve.policy))
    best, worst = ranked[0], ranked[-1]
    template = (
        "The policy matters most at a capacity of {where}: there {best_name} finds {best} and {worst_name} "
        "{worst}"
    )
    values: dict[str, Cell] = {
        "where": _capacity(best, capacity),
        "best_name": best.policy,
        "best": best.rate(best.at(capacity)),
        "worst_name": worst.policy,
        "worst": worst.rate(worst.at(capacity)),
    }
    if BOUND in at_size:
        template += "; no policy can pass {bound}"
        values["bound"] = at_size[BOUND].rate(at_size[BOUND].at(capacity))
    return text(template + ".", **values)
