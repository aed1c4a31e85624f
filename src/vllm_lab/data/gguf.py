"""A quantised GGUF model as a plain checkpoint."""

import os
import sys
from functools import partial
from pathlib import Path

from vllm_lab.common.errors import LabError


def convert(gguf: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Dequantise a GGUF file to bfloat16 and save model, tokenizer and chat template to `folder`.

    The rounding of the quantisation stays in the weights: it is the quantised model, in a form that every
    engine reads. The same file gives the same bytes. Raises LabError where the libraries for it are missing,
    or where they cannot read the file.
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
        # The bar of the dequantisation does not heed that.
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
