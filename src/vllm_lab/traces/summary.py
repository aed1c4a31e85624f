"""The figures that describe a trace."""

from __future__ import annotations

from typing import Any

import numpy as np

from vllm_lab.traces.trace import Trace

PERCENTILES = (50, 90, 95, 99)


def summarise(trace: Trace) -> dict[str, Any]:
    """Requests, conversations, tokens, percentiles of lengths (tokens; numpy's linear ones) and duration (s,
    from 0 to the last arrival)."""
    return {
        "mode": trace.mode,
        "unit": trace.unit,
        "requests": len(trace),
        "conversations": len(set(trace.conversation_id)),
        "streams": trace.num_streams,
        "prompt_tokens": int(trace.prompt_tokens.sum(dtype=np.int64)),
        "output_tokens": int(trace.output_tokens.sum(dtype=np.int64)),
        "lengths": {
            "prompt_tokens": _lengths(trace.prompt_tokens),
            "output_tokens": _lengths(trace.output_tokens),
        },
        "duration_s": float(trace.arrival_time[-1]),
    }


def _lengths(values: np.ndarray) -> dict[str, float]:
    percentiles = {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES}
    return {"mean": float(values.mean()), **percentiles, "max": int(values.max())}
