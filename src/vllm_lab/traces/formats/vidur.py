"""Vidur's traces: lengths and arrival times."""

from pathlib import Path

from vllm_lab.common.files import write_csv
from vllm_lab.traces.formats import format as fmt


def _write(path: Path, source: fmt.Source) -> int:
    trace = source.trace
    columns = (trace.arrival_time.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist())
    write_csv(path, ("arrived_at", "num_prefill_tokens", "num_decode_tokens"), zip(*columns, strict=True))
    return len(trace)


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
    write=_write,
)
