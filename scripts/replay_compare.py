"""Hold mini-vLLM's versions against vLLM's scheduler, step by step and request by request.

In: the records of all replays, ENGINE.TRACE.MEMORY.json; their steps and requests lie beside them.
Out: for each version, trace and memory how many steps are equal, the first that is not with both sides,
which requests differ in what, how far the metrics part, and v1's crash (JSON).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import write_json
from vllm_lab.replay.compared import compare_all
from vllm_lab.replay.stored_run import stored_runs


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, nargs="+", required=True, metavar="JSON")
    parser.add_argument("--output", required=True, metavar="JSON")
    args = parser.parse_args(argv)
    accounts = compare_all(stored_runs(args.records))
    write_json(args.output, {"runs": accounts})
    for found in accounts:
        name = f"{found['version']} against {found['against']}, {found['trace']}, {found['memory']}"
        steps = f"{found.get('equal_steps')} steps equal, {found.get('differing_steps')} differ"
        console.log(f"{name}: {found['reason'] if found['status'] == 'not_run' else steps}")


if __name__ == "__main__":
    console.run(main)
