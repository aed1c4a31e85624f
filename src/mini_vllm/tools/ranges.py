"""Named ranges for Nsight Systems: `MINI_VLLM_NVTX=1` turns them on. Off or without nvtx: no cost."""

import os
from collections.abc import Callable

try:
    import nvtx
except ImportError:
    nvtx = None

ON = nvtx is not None and os.environ.get("MINI_VLLM_NVTX", "0") not in ("", "0")


def nvtx_range(name: str) -> Callable[[Callable], Callable]:
    """Decorate a function whose calls are to be seen as ranges `name`; off, it is returned as it is."""
    if not ON:
        return lambda function: function
    return nvtx.annotate(name, domain="mini_vllm")
