"""Vidur's traces: lengths and arrival times."""

from collections.abc import Iterator

from vllm_lab.traces.formats import format as fmt


def _records(source: fmt.Source) -> Iterator[tuple[float, int, int]]:
    trace = source.trace
    columns = (trace.arrival_time, trace.prompt_tokens, trace.output_tokens)
    return zip(*(column.tolist() for column in columns), strict=True)


OUTGOING = fmt.Outgoing(
    "vidur.csv",
    "requests",
    of_blocks=True,
    readers=(
        fmt.Reader(
            "Vidur",
            "python -m vidur.main --request_generator_config_type trace_replay"
            " --trace_request_generator_config_trace_file {file}"
            " --trace_request_generator_config_max_tokens {longest}",
            fmt.DOCUMENTED,
        ),
    ),
    notes=("Lengths, and times in seconds. By default Vidur cuts requests above 4,096 tokens.",),
    records=_records,
    header=("arrived_at", "num_prefill_tokens", "num_decode_tokens"),
)
