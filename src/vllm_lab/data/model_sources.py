"""Where a checkpoint comes from: the Hugging Face hub at one commit, or a quantised GGUF file."""

import os
import re
import sys
from functools import partial
from pathlib import Path

import httpx

from vllm_lab.common.errors import LabError
from vllm_lab.data.checkpoint import PATTERNS


def fetch(repo: str, revision: str, folder: str | os.PathLike, endpoint: str | None = None) -> None:
    """Download configs, tokenizer, template and safetensors of `repo` at commit `revision` to `folder`.

    A download that was interrupted continues with the files in `folder`. Raises LabError for a
    revision that is not a commit (a branch moves, and the result would move with it), and where the hub
    fails.
    """
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise LabError(
            f"model revision {revision!r}: not a commit; take the 40 hexadecimal digits that the hub shows "
            "under 'Files and versions' of the model"
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as error:
        raise LabError(
            f"{repo}: the hub needs huggingface_hub ({error}); install the environment of envs/"
        ) from error
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        snapshot_download(
            repo, revision=revision, local_dir=Path(folder), allow_patterns=list(PATTERNS), endpoint=endpoint
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise LabError(
            f"{repo} at {revision}: the hub's download failed ({reason}); check name, revision and "
            "endpoint, or take the model from a folder"
        ) from error


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
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner reads
