"""Compute what a capture of Nsight Systems contains.

In: what was captured (JSON) and nsys' SQLite export.
Out: one result document (JSON): metrics, tables of ranges, kernels, copies and calls, one step as a timeline.
Where the capture lacks something, the document gives the reason.
"""

from vllm_lab.common import console, files, flags
from vllm_lab.nsight.document import capture_document


def main(argv: list[str] | None = None) -> None:
    args = flags.parse(
        argv,
        __doc__,
        capture="JSON of the capture's rule",
        sqlite="the capture's export",
        output="JSON to write",
    )
    document = capture_document(files.read_json(args.capture), args.sqlite)
    files.write_json(args.output, document)
    if document["status"] == "not_run":
        console.log(f"not run: {document['reason']}")


if __name__ == "__main__":
    console.run(main)
