"""The formats: what each holds, who reads it, and what to look out for. Without heavy imports: the workflow
reads this table too."""

from __future__ import annotations

from dataclasses import dataclass

READ_BACK = "the tool's own reader reads it back in tests/exports"
DOCUMENTED = "written to its documentation, not run"


@dataclass(frozen=True)
class Reader:
    """A tool and the command that makes it read a file.

    The command's fields: file, records, block_size (tokens a hash stands for), longest (tokens of the longest
    request, output and all). It addresses a server on port 8000 where the tool is a client of one.
    """

    tool: str
    command: str
    checked: str


@dataclass(frozen=True)
class Format:
    """One format. `imported`: whether it can tell a trace of block hashes, which has neither text nor output
    tokens."""

    ending: str
    unit: str  # what it has a record for
    imported: bool
    readers: tuple[Reader, ...]
    notes: tuple[str, ...]

    def file(self, trace: str) -> str:
        """The name of a trace's file."""
        return f"{trace}.{self.ending}"


_VLLM = "vllm bench serve --backend openai --base-url http://127.0.0.1:8000 --model results/data/model"

FORMATS = {
    "mooncake": Format(
        "mooncake.jsonl",
        "requests",
        imported=True,
        readers=(
            Reader(
                "vLLM",
                f"PYTHONHASHSEED=0 {_VLLM} --dataset-name timed_trace --dataset-path {{file}}"
                " --timed-trace-chunk-hash-size {block_size} --timed-trace-sec-multiplier 0.001"
                " --num-prompts {records}",
                READ_BACK,
            ),
            Reader("AIPerf", "aiperf analyze-trace {file} --block-size {block_size}", READ_BACK),
            Reader(
                "AIPerf",
                "aiperf profile --url http://127.0.0.1:8000 --model results/data/model --endpoint-type completions"
                " --streaming --input-file {file} --custom-dataset-type mooncake_trace --fixed-schedule"
                " --isl-block-size {block_size}",
                DOCUMENTED,
            ),
            Reader(
                "GuideLLM",
                "guidellm run --backend kind=openai_http,target=http://127.0.0.1:8000 --profile kind=replay"
                " --data kind=mooncake,path={file},hash_id_block_size={block_size}",
                DOCUMENTED,
            ),
            Reader(
                "SGLang",
                "python -m sglang.bench_serving --backend sglang --port 8000 --model results/data/model"
                " --dataset-name mooncake --dataset-path {file} --mooncake-workload conversation"
                " --mooncake-num-rounds 1 --num-prompts {records}",
                DOCUMENTED,
            ),
        ),
        notes=(
            "Timestamps are whole milliseconds in ascending order. An id stands for the prompt up to its "
            "block's end; the partial last block has one that only an equal prompt shares.",
            "Every reader must be told the block size: vLLM assumes 16, the others 512. vLLM reads 1,000 "
            "requests unless told otherwise, and draws other tokens in each process unless PYTHONHASHSEED is "
            "set. SGLang passes over input_length and gives every id as many tokens.",
        ),
    ),
    "custom": Format(
        "custom.jsonl",
        "requests",
        imported=False,
        readers=(
            Reader(
                "vLLM",
                f"{_VLLM} --dataset-name custom --dataset-path {{file}} --custom-output-len -1"
                " --skip-chat-template --disable-shuffle --no-oversample --num-prompts {records}"
                """ --extra-body '{{"add_special_tokens": false}}'""",
                READ_BACK,
            ),
        ),
        notes=(
            "Prompts are rendered with the chat template. Without the flags vLLM renders them again, asks "
            "for 256 tokens each and shuffles, and the server adds a second BOS token. No arrival times.",
            "Its reader tokenises the text anew: where a conversation holds the text of a special token, the "
            "tokens are not ours.",
        ),
    ),
    "sharegpt": Format(
        "sharegpt.json",
        "conversations",
        imported=False,
        readers=(
            Reader(
                "vLLM",
                f"{_VLLM} --dataset-name sharegpt --dataset-path {{file}} --disable-shuffle --no-oversample"
                " --num-prompts {records}",
                READ_BACK,
            ),
        ),
        notes=(
            "Conversations as far as the trace has them, in its order. vLLM takes the first two messages "
            "alone, whoever speaks, as prompt and reply, and drops what is shorter than 4 tokens, a prompt "
            "above 1,024 and a pair above 2,048.",
        ),
    ),
    "messages": Format(
        "messages.json",
        "conversations",
        imported=False,
        readers=(
            Reader(
                "vLLM, multi-turn",
                "python benchmarks/multi_turn/benchmark_serving_multi_turn.py --url http://127.0.0.1:8000"
                " --model results/data/model --input-file {file} --num-clients 1 --max-active-conversations 8"
                " --limit-min-tokens 0 --limit-max-tokens 0",
                DOCUMENTED,
            ),
        ),
        notes=(
            "Only conversations in which user and assistant take turns, the user first, to the last reply: "
            "the reader stops at any other. Limits of 0 ask for outputs as long as the file's. It is closed-"
            "loop, without our arrival times, and the server's own chat template renders the messages.",
        ),
    ),
    "vidur": Format(
        "vidur.csv",
        "requests",
        imported=True,
        readers=(
            Reader(
                "Vidur",
                "python -m vidur.main --request_generator_config_type trace_replay"
                " --trace_request_generator_config_trace_file {file}"
                " --trace_request_generator_config_max_tokens {longest}",
                DOCUMENTED,
            ),
        ),
        notes=(
            "Lengths and times in seconds. Vidur cuts requests above 4,096 tokens unless told otherwise.",
        ),
    ),
    "llmservingsim": Format(
        "llmservingsim.jsonl",
        "requests",
        imported=False,
        readers=(
            Reader(
                "LLMServingSim",
                "python -m serving --cluster-config configs/cluster/single_node_single_instance.json"
                " --block-size 16 --dataset {file}",
                DOCUMENTED,
            ),
        ),
        notes=(
            "Prompts and outputs as the token ids of this trace's tokenizer, which make its prefix cache "
            "work; times in whole nanoseconds. The path is taken from the simulator's own folder.",
        ),
    ),
    "libcachesim": Format(
        "libcachesim.csv",
        "accesses",
        imported=True,
        readers=(
            Reader(
                "libCacheSim",
                "cachesim {file} csv lru 1000,10000,100000 --ignore-obj-size 1 -t 'time-col=1, obj-id-col=2,"
                " obj-size-col=3, delimiter=,, has-header=true, obj-id-is-num=true'",
                READ_BACK,
            ),
        ),
        notes=(
            "A line for each block that a prompt asks for; the blocks that the sharing analysis counts, so "
            "that an unbounded cache's hit rate is the block reuse rate. A request's deepest block comes "
            "first: lru then evicts a block before the one that leads to it. Our sweeps also keep a "
            "request's own blocks while it is served, so small caches find slightly more. Whole seconds.",
        ),
    ),
}
