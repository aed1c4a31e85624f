"""Tiny models with random weights and a tokenizer; Qwen3's shape, and one whose calls are not spelt out."""

import json
import shutil
from argparse import Namespace
from pathlib import Path

import pytest

from tests.engines.conftest import SHAPE
from tests.traces.conftest import model_dir as tokenizer_dir
from vllm_lab.provenance.schemas import check
from vllm_lab.tracing.documents import Question, engine_from

__all__ = ["tokenizer_dir"]  # the fixture

SCHEMAS = Path(__file__).parents[2] / "workflow/schemas"
LAYERS = 3
PROMPT = "Where is the nearest bakery?"
QUESTION = Question(PROMPT, list(range(10, 17)), max_tokens=4, repeats=2)
QWEN3 = SHAPE | {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "head_dim": 64,
    "num_hidden_layers": LAYERS,
    "vocab_size": 512,
}
OPT = {
    "architectures": ["OPTForCausalLM"],
    "model_type": "opt",
    "hidden_size": 128,
    "word_embed_proj_dim": 128,
    "ffn_dim": 128,
    "num_attention_heads": 2,
    "num_hidden_layers": LAYERS,
    "vocab_size": 512,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
}


def checked(document: dict, schema: str, folder: Path) -> dict:
    """The document, once it has gone through JSON and its schema."""
    file = folder / "document.json"
    file.write_text(json.dumps(document))
    check(file, SCHEMAS / f"{schema}.schema.yaml")
    return json.loads(file.read_text())


def checkpoint(folder: Path, config: dict, tokenizer: Path) -> Path:
    """A checkpoint without weights."""
    shutil.copytree(tokenizer, folder, dirs_exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def qwen3_dir(tmp_path_factory, tokenizer_dir) -> Path:
    return checkpoint(tmp_path_factory.mktemp("qwen3"), QWEN3, tokenizer_dir)


@pytest.fixture(scope="session")
def opt_dir(tmp_path_factory, tokenizer_dir) -> Path:
    return checkpoint(tmp_path_factory.mktemp("opt"), OPT, tokenizer_dir)


def engine_of(model: Path):
    """An engine on a model without weights."""
    pytest.importorskip("vllm")
    return engine_from(Namespace(model=model, device="cpu", load_format="dummy"), QUESTION)


@pytest.fixture(scope="module")
def engine(qwen3_dir):
    with engine_of(qwen3_dir) as engine:
        yield engine
