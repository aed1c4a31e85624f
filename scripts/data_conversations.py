"""Read the raw ShareGPT file and keep its conversations, mended or dropped by rules that are counted.

In: a JSON array, JSON Lines or one object; it may be cut off in the middle. Out: conversations.parquet (a row
for each conversation) and rejects.json (every rule, how often it applied, and the first example).
"""

from vllm_lab.common import console, errors, files, flags
from vllm_lab.data import conversations
from vllm_lab.data.conversation import DROPPED_MESSAGE, Ledger


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(
        __doc__, input="the raw file", output="conversations.parquet", rejects="rejects.json"
    )
    parser.add_argument("--merge-parts", action="store_true", help="join the parts of one conversation")
    parser.add_argument("--max-records", type=int, help="read at most this many records")
    args = parser.parse_args(argv)

    ledger = Ledger(merge_parts=args.merge_parts)
    found = conversations.read(args.input, ledger, merge=args.merge_parts, max_records=args.max_records)
    conversations.write(args.output, console.progress(found, desc="conversations", unit="conversation"))
    report = ledger.report(args.input.stat().st_size)
    files.write_json(args.rejects, report)
    if not ledger.conversations_kept:
        applied = ", ".join(f"{rule} {count}" for rule, count in sorted(ledger.counts.items()))
        raise errors.LabError(
            f"{args.input}: no conversation is left of {ledger.records_read} records "
            f"({applied or 'no record'}); a record looks like "
            "{'id': …, 'conversations': [{'from': 'human', 'value': …}, …]}"
        )
    console.log(
        f"{ledger.records_read} records: {ledger.conversations_kept} conversations with "
        f"{ledger.messages_kept} messages kept, {report['records_dropped']} records dropped, "
        f"{report['records_joined']} joined to an earlier part, "
        f"{ledger.applied(DROPPED_MESSAGE)} messages dropped"
    )


if __name__ == "__main__":
    console.run(main)
