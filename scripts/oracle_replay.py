"""Replay a trace through vLLM's own scheduler and KV cache manager, in virtual time and without a model.

In: a trace of tokens (Parquet or JSON Lines).
Out: under --outdir, for each memory, without and with prefix caching: vllm_{uncached,cached}.TRACE.MEMORY and
.steps.jsonl, .requests.csv, .json (limits and metrics).
"""

from vllm_lab.common import console, errors
from vllm_lab.common.flags import parser_of
from vllm_lab.oracle import engine
from vllm_lab.oracle.scheduler import vllm_version
from vllm_lab.replay import flags
from vllm_lab.replay.records import ORACLES, SCHEDULER, RunFiles, simulated_record


def main(argv: list[str] | None = None) -> None:
    parser = parser_of(__doc__, outdir="folder for the files")
    flags.add_trace(parser)
    flags.add_batch_limits(parser)
    flags.add_clock(parser)
    parser.add_argument(
        "--memory", nargs=2, action="append", required=True, metavar=("NAME", "NUM_BLOCKS"),
        help="KV blocks, the null block among them",
    )  # fmt: skip
    args = parser.parse_args(argv)

    trace = args.trace.stem.removesuffix("_trace")
    version, reason = _vllm()
    requests = [] if reason else flags.requests_from(args)
    for memory, num_blocks in args.memory:
        for caching, oracle in zip((False, True), ORACLES, strict=True):
            name = f"{oracle}.{trace}.{memory}"
            limits = flags.limits_from(args, num_blocks=int(num_blocks), prefix_caching=caching)
            files = RunFiles.of(str(args.outdir / name))
            if reason:
                files.write_not_run(SCHEDULER, limits, reason)
                console.log(f"{name}: not run: {reason}")
            else:
                result = engine.run(requests, limits)
                record = simulated_record(SCHEDULER, requests, limits, result, vllm_version=version)
                files.write(result, record)
                console.log(f"{name}: {len(requests)} requests, {len(result.steps)} steps")


def _vllm() -> tuple[str, str]:
    """vLLM's version, and why its scheduler cannot run here; one of the two is empty."""
    try:
        return vllm_version(), ""
    except errors.Unavailable as error:
        return "", f"{error}; install one, then: snakemake --cores 1 --forcerun oracle_replay report"


if __name__ == "__main__":
    console.run(main)
