"""KV cache size from a model's config.json."""

import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.data.shape import shape_of

SMOLLM2 = {
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
    "max_position_embeddings": 8192,
    "vocab_size": 49152,
    "dtype": "bfloat16",
}


def test_grouped_queries_share_keys_and_values():
    assert shape_of(SMOLLM2).kv_bytes_per_token == 2 * 30 * 3 * 64 * 2 == 23040


def test_without_groups_every_head_has_its_own():
    config = {key: value for key, value in SMOLLM2.items() if key != "num_key_value_heads"}
    assert shape_of(config).kv_bytes_per_token == 3 * 23040


def test_a_stated_head_dim_wins_over_the_quotient():
    assert shape_of(SMOLLM2 | {"head_dim": 128}).kv_bytes_per_token == 2 * 23040


@pytest.mark.parametrize(
    ("dtype", "factor"),
    [({"dtype": "float32"}, 2), ({"dtype": None, "torch_dtype": "float16"}, 1), ({"dtype": None}, 2)],
)
def test_the_dtype_under_either_name_sets_the_bytes(dtype, factor):
    assert shape_of(SMOLLM2 | dtype).kv_bytes_per_token == factor * 23040


def test_a_model_that_sees_has_its_decoder_in_text_config():
    assert shape_of({"text_config": SMOLLM2, "model_type": "vision"}) == shape_of(SMOLLM2)


@pytest.mark.parametrize("key", [key for key in SMOLLM2 if key not in ("num_key_value_heads", "dtype")])
@pytest.mark.parametrize("wrong", [None, 0, "many", True])
def test_a_missing_or_odd_figure_is_named(key, wrong):
    with pytest.raises(LabError, match=rf"config\.json: {key} is {wrong!r}"):
        shape_of(SMOLLM2 | {key: wrong})


def test_an_unknown_dtype_is_named():
    with pytest.raises(LabError, match="dtype is 'int4', expected one of float32"):
        shape_of(SMOLLM2 | {"dtype": "int4"})


def test_latent_attention_is_refused_rather_than_counted_wrong():
    with pytest.raises(LabError, match="kv_lora_rank"):
        shape_of(SMOLLM2 | {"kv_lora_rank": 512})
