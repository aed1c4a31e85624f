"""What a process and its tensors hold, and what the model's shape says they should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm_lab.common.files import read_json
from vllm_lab.data import checkpoint
from vllm_lab.data.shape import DTYPE_BYTES, shape_of
from vllm_lab.engines.engine import Engine

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Memory:
    """Bytes; on CUDA as its allocator counts them, on the CPU tensors and the process's resident set."""

    weights: int | None  # None on the CPU, whose layers do not tell
    kv_cache: int
    before: int
    peak: int


@contextmanager
def watched(engine: Engine) -> Iterator[Callable[[], Memory]]:
    """Yield what tells the memory used since, once the block has ended."""
    before, peak = _device() if engine.settings.device == "cuda" else _resident()
    weights = engine.weight_bytes if engine.settings.device == "cuda" else None
    yield lambda: Memory(weights, engine.kv_cache_bytes, before, peak())


def checkpoint_bytes(model_dir: Path, dtype: str) -> int | None:
    """Of the checkpoint's parameters in the dtype that the engine runs them in; None without a checkpoint."""
    files = list(model_dir.glob("*.safetensors"))
    return (
        None
        if not files
        else sum(checkpoint.parameters(file) for file in files) * DTYPE_BYTES[dtype.removeprefix("torch.")]
    )


def kv_bytes(model_dir: Path, tokens: int) -> int:
    """Of a KV cache with room for `tokens`, by the model's shape."""
    return shape_of(read_json(model_dir / "config.json")).kv_bytes_per_token * tokens


def shape_parameters(config: dict[str, Any]) -> int | None:
    """Parameters of a decoder with this config.json; None for an architecture not spelt out here.

    Embedding (and output layer, unless tied); in each layer the projections of queries, keys, values and
    outputs, the gate, up and down projections, two norms (Qwen3: of queries and keys too); a last norm.
    """
    if config["architectures"][0] not in ("LlamaForCausalLM", "Qwen3ForCausalLM"):
        return None
    shape = shape_of(config)
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    attention = 2 * hidden * shape.head_dim * (heads + shape.kv_heads)
    norms = 2 * hidden
    if config["architectures"][0] == "Qwen3ForCausalLM":
        norms += 2 * shape.head_dim
    embeddings = shape.vocab_size * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return embeddings + shape.layers * (attention + 3 * hidden * inner + norms) + hidden


def _device() -> tuple[int, Callable[[], int]]:
    import torch

    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated


def _resident() -> tuple[int, Callable[[], int]]:
    """The resident set now, and its peak since now (Linux: man 5 proc, clear_refs)."""
    CLEAR.write_text("5")
    return _status("VmRSS"), lambda: _status("VmHWM")


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
