"""The shape of a model, from its config.json, and how many numbers its weights hold."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm_lab.common.errors import LabError

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a decoder that determine how much memory the keys and values of a token take."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: str
    context_length: int  # tokens
    vocab_size: int

    @property
    def kv_bytes_per_token(self) -> int:
        """KV cache of one token, in bytes: a key and a value of head_dim for each KV head of each layer."""
        return 2 * self.layers * self.kv_heads * self.head_dim * DTYPE_BYTES[self.dtype]


def shape_of(config: dict[str, Any]) -> Shape:
    """The shape in a config.json of transformers (in text_config, for a model of images or audio too).

    The defaults are those of transformers: as many KV heads as attention heads, head_dim = hidden_size /
    attention heads, dtype float32. Raises LabError for a missing key and for a value that gives no KV size.
    """
    text = config.get("text_config") or config
    if "kv_lora_rank" in text:
        raise LabError(
            "config.json: kv_lora_rank: latent attention (MLA) keeps no keys and values per head; choose "
            "another model"
        )
    given = [part.get(key) for part in (text, config) for key in ("dtype", "torch_dtype")]
    stated = next((value for value in given if value), "float32")
    dtype = stated.removeprefix("torch.")
    if dtype not in DTYPE_BYTES:
        raise LabError(f"config.json: dtype is {stated!r}, expected one of {', '.join(DTYPE_BYTES)}")
    heads = kv_heads = _whole_number(text, "num_attention_heads")
    if text.get("num_key_value_heads") is not None:
        kv_heads = _whole_number(text, "num_key_value_heads")
    if text.get("head_dim") is None:
        head_dim = _whole_number(text, "hidden_size") // heads
    else:
        head_dim = _whole_number(text, "head_dim")
    return Shape(
        layers=_whole_number(text, "num_hidden_layers"),
        kv_heads=kv_heads,
        head_dim=head_dim,
        dtype=dtype,
        context_length=_whole_number(text, "max_position_embeddings"),
        vocab_size=_whole_number(text, "vocab_size"),
    )


def parameters(path: str | os.PathLike) -> int:
    """How many numbers a safetensors file holds, from its header: 8 bytes of length, then JSON.

    Source: https://huggingface.co/docs/safetensors#format. The header has tied weights once.
    """
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= Path(path).stat().st_size - 8:
            raise LabError(f"{path}: not a safetensors file, or cut off; fetch the model again")
        header = json.loads(file.read(length))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _whole_number(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise LabError(
            f"config.json: {key} is {value!r}, expected a whole number above 0; choose a decoder model"
        )
    return value
