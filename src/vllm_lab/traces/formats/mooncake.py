"""Mooncake's traces: a hash for each prompt block (https://github.com/kvcache-ai/Mooncake).

In: timestamp (ms), input_length and output_length (tokens), and hash_ids, one for every `block_tokens` prompt
tokens, with one of its own for the partial last block. The file does not say which requests belong together,
so request `r<line>`, counted from 1, is a conversation of its own.
"""

from collections.abc import Iterator

from vllm_lab.traces.formats import format as fmt


def _columns(
    records: list[fmt.Record], lines: list[int], block_tokens: int
) -> tuple[list[fmt.Record], fmt.Columns]:
    names = [f"r{line}" for line in lines]
    return records, {"request_id": names, "conversation_id": names, "turn": [1] * len(names)}


def _records(source: fmt.Source) -> Iterator[fmt.Record]:
    from vllm_lab.traces.prefix_tree import hash_ids

    trace = source.trace
    for row, ids in enumerate(hash_ids(trace, source.block_size).split()):
        yield {
            "timestamp": round(1000 * float(trace.arrival_time[row])),
            "input_length": int(trace.prompt_tokens[row]),
            "output_length": int(trace.output_tokens[row]),
            "hash_ids": ids,
        }


INCOMING = fmt.Incoming("mooncake", block_tokens=512, per_second=1000, columns=_columns)
OUTGOING = fmt.Outgoing(
    "mooncake.jsonl",
    "requests",
    of_blocks=True,
    readers=(
        fmt.Reader(
            "vLLM",
            f"PYTHONHASHSEED=0 {fmt.VLLM_BENCH} --dataset-name timed_trace --dataset-path {{file}}"
            " --timed-trace-chunk-hash-size {block_size} --timed-trace-sec-multiplier 0.001"
            " --num-prompts {records}",
            fmt.READ_BACK,
        ),
        fmt.Reader("AIPerf", "aiperf analyze-trace {file} --block-size {block_size}", fmt.READ_BACK),
        fmt.Reader(
            "AIPerf",
            f"aiperf profile --url {fmt.SERVER} {fmt.MODEL} --endpoint-type completions --streaming"
            " --input-file {file} --custom-dataset-type mooncake_trace --fixed-schedule"
            " --isl-block-size {block_size}",
            fmt.DOCUMENTED,
        ),
        fmt.Reader(
            "GuideLLM",
            f"guidellm run --backend kind=openai_http,target={fmt.SERVER} --profile kind=replay"
            " --data kind=mooncake,path={file},hash_id_block_size={block_size}",
            fmt.DOCUMENTED,
        ),
        fmt.Reader(
            "SGLang",
            f"python -m sglang.bench_serving --backend sglang --port 8000 {fmt.MODEL}"
            " --dataset-name mooncake --dataset-path {file} --mooncake-workload conversation"
            " --mooncake-num-rounds 1 --num-prompts {records}",
            fmt.DOCUMENTED,
        ),
    ),
    notes=(
        "Timestamps are whole milliseconds in ascending order. An id identifies the prompt up to the "
        "end of its block; only an equal prompt has the same id for a partial last block.",
        "Every reader needs the block size as an option: vLLM assumes 16, the others 512. vLLM reads "
        "1,000 requests by default, and draws other tokens in each process unless PYTHONHASHSEED is "
        "set. SGLang ignores input_length and gives every id the same number of tokens.",
    ),
    records=_records,
)
