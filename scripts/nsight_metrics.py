"""Compute what a capture of Nsight Systems contains.

In: what was captured (JSON) and nsys' SQLite export.
Out: one result document (JSON): metrics, tables of ranges, kernels, copies and calls, one step as a timeline.
Where the capture lacks something, the document gives the reason. A capture that was not made gives a document
with status not_run.
"""

from vllm_lab.common import console
from vllm_lab.common.files import read_json, write_json
from vllm_lab.common.flags import parser_of
from vllm_lab.nsight.document import capture_document


def main(argv: list[str] | None = None) -> None:
    args = parser_of(
        __doc__, capture="JSON of the capture's rule", sqlite="the capture's export", output="JSON to write"
    ).parse_args(argv)
    document = capture_document(read_json(args.capture), args.sqlite)
    write_json(args.output, document)
    if document["status"] == "not_run":
        console.log(f"not run: {document['reason']}")


if __name__ == "__main__":
    console.run(main)
