"""LLMServingSim's traces: prompts and outputs as token ids."""

from collections.abc import Iterator

from vllm_lab.traces.formats import format as fmt


def _records(source: fmt.Source) -> Iterator[fmt.Record]:
    trace = source.trace
    for row in range(len(trace)):
        yield {
            "input_toks": int(trace.prompt_tokens[row]),
            "output_toks": int(trace.output_tokens[row]),
            "arrival_time_ns": round(1e9 * float(trace.arrival_time[row])),
            "input_tok_ids": trace.prompt(row),
            "output_tok_ids": trace.output(row),
        }


OUTGOING = fmt.Outgoing(
    "llmservingsim.jsonl",
    "requests",
    of_blocks=False,
    readers=(
        fmt.Reader(
            "LLMServingSim",
            "python -m serving --cluster-config configs/cluster/single_node_single_instance.json"
            " --block-size 16 --dataset {file}",
            fmt.DOCUMENTED,
        ),
    ),
    notes=(
        "Prompts and outputs are token ids of the tokenizer of this trace, which the simulator's "
        "prefix cache needs. Times are whole nanoseconds. Paths are relative to the simulator's own "
        "folder.",
    ),
    records=_records,
)
