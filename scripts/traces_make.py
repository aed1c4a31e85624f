"""Make a trace of token streams.

In: streams.parquet and the config.json of the model, for its context length.
Out: a trace in Parquet, and its part of the summary of the traces as JSON.
"""

from collections.abc import Sequence
from math import inf

from vllm_lab.common import console, files, flags
from vllm_lab.common.errors import LabError
from vllm_lab.traces.workload import Arrivals, Selection, StreamTable, Workload, context_length


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(
        __doc__,
        streams="streams.parquet",
        model_config="the config.json of the model",
        output="trace, .parquet",
        summary="this trace's part of the summary, .json",
    )
    parser.add_argument("--mode", choices=("single_turn", "multi_turn"), required=True)
    parser.add_argument("--count", type=int, default=0, help="conversations; 0 for all (default)")
    parser.add_argument("--order", choices=("first", "random"), default="first")
    parser.add_argument("--begins-with", choices=("user", "any"), default="user")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, required=True, help="conversations per second")
    parser.add_argument("--think-time", type=float, default=0.0, help="seconds between turns")
    parser.add_argument("--think-distribution", choices=("fixed", "exponential"), default="fixed")
    parser.add_argument("--over-context", choices=("drop", "keep"), default="drop")
    parser.add_argument(
        "--priorities", nargs="+", default=["0:1"], metavar="PRIORITY:SHARE", help="drawn per conversation"
    )
    args = parser.parse_args(argv)

    if args.count < 0 or args.seed < 0 or not 0 < args.rate < inf or not 0 <= args.think_time < inf:
        raise LabError("--count, --seed and --think-time must be 0 or more, --rate more than 0")
    workload = Workload(
        mode=args.mode,
        selection=Selection(args.count, args.order, args.begins_with),
        arrivals=Arrivals(args.rate, args.think_time, args.think_distribution),
        priorities=parse_priorities(args.priorities),
        context=context_length(args.model_config),
        over_context=args.over_context,
        seed=args.seed,
    )
    trace, summary = workload.build(StreamTable.read(args.streams))
    trace.write(args.output)
    files.write_json(args.summary, summary)
    console.log(f"{len(trace)} requests; {summary['selection']['statement']}")


def parse_priorities(texts: Sequence[str]) -> tuple[tuple[int, float], ...]:
    """["0:0.8", "1:0.2"] to ((0, 0.8), (1, 0.2)). LabError unless the shares are positive and sum to 1."""
    try:
        pairs = [text.split(":") for text in texts]
        priorities = tuple((int(priority), float(share)) for priority, share in pairs)
    except ValueError:
        raise LabError(f"--priorities {' '.join(texts)}: write PRIORITY:SHARE, e.g. 0:0.8 1:0.2") from None
    shares = [share for _, share in priorities]
    if not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        raise LabError(f"--priorities {' '.join(texts)}: shares must be positive and sum to 1")
    if len({priority for priority, _ in priorities}) < len(priorities):
        raise LabError(f"--priorities {' '.join(texts)}: a priority is given twice")
    return priorities


if __name__ == "__main__":
    console.run(main)
