"""A GGUF file becomes a checkpoint, and what no checkpoint can be made of."""

import sys

import numpy as np
import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.data.checkpoint import convert

WORDS = ["<unk>", "<s>", "</s>", "a", "b", "ab"]


def write_gguf(path):
    """A Llama of one layer, 8 numbers wide, whose tokenizer knows WORDS."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(16)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_feed_forward_length(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, 3, 1, 1, 1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    shapes = {"token_embd": (6, 8), "output_norm": (8,), "output": (6, 8)}
    layer = {"attn_norm": (8,), "attn_q": (8, 8), "attn_k": (4, 8), "attn_v": (4, 8), "attn_output": (8, 8)}
    layer |= {"ffn_norm": (8,), "ffn_gate": (16, 8), "ffn_up": (16, 8), "ffn_down": (8, 16)}
    shapes |= {f"blk.0.{name}": shape for name, shape in layer.items()}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_the_hub_s_offline_mode_changes_no_byte_of_the_checkpoint(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    write_gguf(tmp_path / "tiny.gguf")
    for offline in (True, False):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        convert(tmp_path / "tiny.gguf", tmp_path / str(offline))
    names = sorted(path.name for path in (tmp_path / "True").iterdir())
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(names)
    for name in names:
        one, other = ((tmp_path / str(offline) / name).read_bytes() for offline in (True, False))
        assert one == other, name


def test_without_torch_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(LabError, match=r"m\.gguf: .*needs torch, transformers, gguf and accelerate.*install"):
        convert(tmp_path / "m.gguf", tmp_path / "out")


def test_a_file_that_is_no_gguf_is_named(tmp_path):
    pytest.importorskip("gguf")
    (tmp_path / "m.gguf").write_bytes(b"GGUX" + bytes(100))
    with pytest.raises(LabError, match=r"m\.gguf: transformers cannot read it"):
        convert(tmp_path / "m.gguf", tmp_path / "out")
