"""Say what a capture of Nsight Systems holds.

In: what was captured (JSON) and nsys' SQLite export.
Out: one document (JSON): metrics, tables of ranges, kernels, copies and calls, one step as a timeline. What
the capture lacks is null, with the reason; a capture that was not made gives a document with status not_run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.files import read_json, write_json
from vllm_lab.nsight.document import metrics_document


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--capture", type=Path, required=True, help="JSON of nsight_capture")
    parser.add_argument("--sqlite", type=Path, required=True, help="the capture's export")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    args = parser.parse_args(argv)
    document = metrics_document(read_json(args.capture), args.sqlite)
    write_json(args.output, document)
    if document["status"] == "not_run":
        console.log(f"not run: {document['reason']}")


if __name__ == "__main__":
    console.run(main)
