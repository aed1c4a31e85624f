"""A checkpoint without weights, and requests that make its small cache overflow."""

import json
from pathlib import Path

import numba  # noqa: F401  (vLLM must start when it is loaded, see engine._hidden)
import numpy as np
import pytest

from vllm_lab.replay.replay import TracedRequest

SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 2,
    "vocab_size": 256,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
}


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps(SHAPE))
    return folder


@pytest.fixture(scope="session")
def crowd() -> list[TracedRequest]:
    """8 conversations of 3 turns, all at 0 s; a turn's prompt holds the turn before and its answer."""
    random = np.random.default_rng(0)
    requests = []
    for conversation in range(8):
        prompt: list[int] = []
        for turn in range(3):
            prompt = prompt + random.integers(0, 256, random.integers(20, 80)).tolist()
            answer = random.integers(0, 256, random.integers(1, 100)).tolist()
            requests.append(TracedRequest(f"c{conversation}t{turn}", 0.0, turn % 2, prompt, answer))
            prompt = prompt + answer
    return requests
