"""The checkpoint of a model: files in one folder, always with the same names, and their summary."""

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import canonical_json, read_json, sha256_file, write_json, write_text
from vllm_lab.data.shape import parameters, shape_of

REQUIRED = ("config.json", "tokenizer.json")
OPTIONAL = ("tokenizer_config.json", "generation_config.json", "chat_template.jinja")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
PATTERNS = (*REQUIRED, *OPTIONAL, *WEIGHTS)


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
