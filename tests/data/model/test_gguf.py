"""What a GGUF model cannot be made of. The conversion itself is tested where the pipeline runs."""

import sys

import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.data.sources import convert


def test_without_torch_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(LabError, match=r"m\.gguf: .*needs torch, transformers, gguf and accelerate.*install"):
        convert(tmp_path / "m.gguf", tmp_path / "out")


def test_a_file_that_is_no_gguf_is_named(tmp_path):
    pytest.importorskip("gguf")
    (tmp_path / "m.gguf").write_bytes(b"GGUX" + bytes(100))
    with pytest.raises(LabError, match=r"m\.gguf: transformers cannot read it"):
        convert(tmp_path / "m.gguf", tmp_path / "out")
