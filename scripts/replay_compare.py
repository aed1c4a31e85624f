"""Compare mini-vLLM's versions with vLLM's scheduler, step by step and request by request.

In: the records of all replays, ENGINE.TRACE.MEMORY.json; their steps and requests are in the same folder.
Out: for each version, trace and memory how many steps are equal, both sides of the first one that is not,
which requests differ in what, how far the metrics are apart, and v1's crash (JSON).
"""

from vllm_lab.common import console, files, flags
from vllm_lab.replay import comparison, records


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(argv, __doc__, several={"records": "of the replays, JSON"}, output="JSON to write")
    runs = comparison.compare_all(records.stored_runs(args.records))
    files.write_json(args.output, {"runs": runs})
    for run in runs:
        name = f"{run['version']} and {run['against']}, {run['trace']}, {run['memory']}"
        steps = f"{run.get('equal_steps')} steps equal, {run.get('differing_steps')} differ"
        console.log(f"{name}: {run['reason'] if run['status'] == 'not_run' else steps}")


if __name__ == "__main__":
    console.run(main)
