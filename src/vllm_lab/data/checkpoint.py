"""The checkpoint of a model: files in one folder, always with the same names, and their summary."""

import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import canonical_json, read_json, sha256_file, write_json, write_text

REQUIRED = ("config.json", "tokenizer.json")
OPTIONAL = ("tokenizer_config.json", "generation_config.json", "chat_template.jinja")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
PATTERNS = (*REQUIRED, *OPTIONAL, *WEIGHTS)
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


def convert(gguf: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Dequantise a GGUF file to bfloat16 and save model, tokenizer and chat template to `folder`.

    The weights keep the rounding of the quantisation, so this is the quantised model in a form that every
    engine reads. The same file gives the same bytes. Raises LabError where the libraries are missing or
    cannot read the file.
    """
    gguf, folder = Path(gguf), Path(folder)
    try:
        import accelerate  # noqa: F401
        import gguf as _reader  # noqa: F401
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, modeling_gguf_pytorch_utils
        from transformers.utils import logging
    except ImportError as error:
        raise LabError(
            f"{gguf.name}: reading a GGUF model needs torch, transformers, gguf and accelerate ({error}); "
            "install the environment of envs/, or take a model from the hub or a folder"
        ) from error
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
        # The progress bar of the dequantisation ignores that setting.
        modeling_gguf_pytorch_utils.tqdm = partial(modeling_gguf_pytorch_utils.tqdm, disable=True)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),  # a model that stays quantised cannot be saved
            dtype=torch.bfloat16,
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (ValueError, OSError, NotImplementedError) as error:
        raise LabError(f"{gguf.name}: transformers cannot read it ({error}); take another model") from error
    tokenizer.init_kwargs["local_files_only"] = False  # it is saved, and offline mode would set it
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner reads


def lay_down(source: str | os.PathLike, outdir: str | os.PathLike, weights: Sequence[str]) -> None:
    """Write the checkpoint in `source` to `outdir`: configs, tokenizer, template and the weight files.

    A template in tokenizer_config.json, where older checkpoints have it, is written to chat_template.jinja. A
    template or optional config that the model lacks becomes an empty one. Weights are hard-linked where that
    is possible, and the rest is copied; weights of an earlier model in `outdir` are removed. LabError names
    every file that is missing, and the weight files (shards and their index) where they differ from
    `weights`.
    """
    source, outdir = Path(source), Path(outdir)
    if source.resolve() == outdir.resolve():
        raise LabError(
            f"{source}: this is the output folder itself; give the folder that the checkpoint comes from"
        )
    found = _weights(source)
    _check_complete(source, found)
    names = [path.name for path in found]
    if sorted(names) != sorted(weights):
        raise LabError(
            f"{source}: its weight files are {', '.join(names)}, not {', '.join(weights)}; "
            f"set model.weights in the configuration to [{', '.join(names)}]"
        )
    outdir.mkdir(parents=True, exist_ok=True)
    stale = {path.name for path in _weights(outdir)} - set(names)
    for name in (*stale, *OPTIONAL):
        (outdir / name).unlink(missing_ok=True)
    for path in found:
        _link_or_copy(path, outdir / path.name)
    for name in (*REQUIRED, *OPTIONAL):
        if (source / name).is_file():
            shutil.copyfile(source / name, outdir / name)
    for name in ("tokenizer_config.json", "generation_config.json"):
        if not (outdir / name).exists():
            write_json(outdir / name, {})
    if not (outdir / "chat_template.jinja").exists():
        write_text(outdir / "chat_template.jinja", _template_of(read_json(outdir / "tokenizer_config.json")))


def summarise(outdir: str | os.PathLike) -> dict[str, Any]:
    """Shape, parameters and KV bytes per token of the checkpoint in `outdir`, and a digest of its files.

    `checkpoint_sha256` is the sha256 of the canonical JSON {file name: sha256}.
    """
    outdir = Path(outdir)
    shape = shape_of(read_json(outdir / "config.json"))
    weights = [path.name for path in _weights(outdir)]
    digests = {name: sha256_file(outdir / name) for name in (*REQUIRED, *OPTIONAL, *weights)}
    return asdict(shape) | {
        "weights": "real",
        "parameters": sum(parameters(outdir / name) for name in weights if name.endswith(".safetensors")),
        "kv_bytes_per_token": shape.kv_bytes_per_token,
        "checkpoint_sha256": hashlib.sha256(canonical_json(digests).encode()).hexdigest(),
    }


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


def _weights(folder: Path) -> list[Path]:
    return sorted(path for pattern in WEIGHTS for path in folder.glob(pattern))


def _check_complete(source: Path, weights: list[Path]) -> None:
    if not source.is_dir():
        raise LabError(
            f"{source}: no such folder; give the folder of a checkpoint with config.json and tokenizer.json"
        )
    missing = [name for name in REQUIRED if not (source / name).is_file()]
    names = {path.name for path in weights}
    indices = [path for path in weights if path.name.endswith(".index.json")]
    needed = {shard for index in indices for shard in read_json(index).get("weight_map", {}).values()}
    missing += sorted(needed - names)
    if not names - {index.name for index in indices} and not needed:
        missing.append("model.safetensors")
    if missing:
        raise LabError(
            f"{source}: {', '.join(missing)} missing; save model and tokenizer there with transformers' "
            "save_pretrained(), which writes all of them"
        )


def _link_or_copy(source: Path, target: Path) -> None:
    source = source.resolve()  # the cache of the hub has symbolic links, and the link itself would be linked
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _template_of(tokenizer_config: dict[str, Any]) -> str:
    """The chat template in tokenizer_config.json: a text, or the entry of a list that is named default."""
    template = tokenizer_config.get("chat_template")
    if isinstance(template, list):
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    return template or ""
