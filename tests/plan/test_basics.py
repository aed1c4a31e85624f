"""Sizes by the model's shape."""

import pytest

from vllm_lab.plan.basics import shape_parameters

SMOLLM2_135M = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536, "vocab_size": 49152,
    "num_attention_heads": 9, "num_key_value_heads": 3, "num_hidden_layers": 30, "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}  # fmt: skip
QWEN3_06B = {
    "architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024, "intermediate_size": 3072, "head_dim": 128,
    "num_attention_heads": 16, "num_key_value_heads": 8, "num_hidden_layers": 28, "vocab_size": 151936,
    "tie_word_embeddings": True, "max_position_embeddings": 40960,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "parameters"),
    [(SMOLLM2_135M, 134_515_008), (QWEN3_06B, 596_049_920)],
    ids=["smollm2", "qwen3"],
)
def test_parameters_by_shape_are_those_of_the_published_checkpoints(config, parameters):
    assert shape_parameters(config) == parameters


def test_an_architecture_that_is_not_spelt_out_has_no_number():
    assert shape_parameters({"architectures": ["MambaForCausalLM"]}) is None
