"""A trace of tokens and one of block hashes, exported in every format that fits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.traces.conftest import many_conversations, model_dir  # noqa: F401  (fixtures)
from vllm_lab.traces.formats import EXPORTS, IMPORTS
from vllm_lab.traces.trace import Trace

ROOT = Path(__file__).parents[3]
BLOCKS = 16
HASHED = [
    {"timestamp": 500, "input_length": 1025, "output_length": 9, "hash_ids": [40, 50, 60]},
    {"timestamp": 1001, "input_length": 1024, "output_length": 1, "hash_ids": [40, 50]},
    {"timestamp": 2000, "input_length": 1025, "output_length": 3, "hash_ids": [40, 50, 70]},
]


class Exported:
    """The folder of the exports, and what is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = json.loads((folder / "index.json").read_text())

    def path(self, format: str, trace: str = "multi_turn") -> Path:
        return self.folder / EXPORTS[format].file(trace)

    def trace(self, name: str = "multi_turn") -> Trace:
        return Trace.read(self.folder / f"{name}_trace.parquet")


def run(script: str, *flags: object) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / f"{script}.py", *map(str, flags)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def data(many_conversations, model_dir) -> list[object]:  # noqa: F811
    """The flags that name what traces are made from."""
    template = ["--chat-template", "tokenizer", "--default-system-prompt", "keep"]
    return ["--conversations", many_conversations, "--model-dir", model_dir, *template]


@pytest.fixture(scope="session")
def exported(data, tmp_path_factory) -> Exported:
    """300 conversations' multi-turn trace, and `hashed`, a trace of blocks."""
    folder = tmp_path_factory.mktemp("exports")
    streams, config = folder / "streams.parquet", folder / "config.json"
    config.write_text('{"max_position_embeddings": 8192}')
    run("traces_tokens", *data, "--output", streams, "--summary", folder / "tokens.json")
    run(
        "traces_make", "--streams", streams, "--model-config", config, "--mode", "multi_turn", "--rate", 2,
        "--count", 300, "--begins-with", "any", "--think-time", 3,
        "--output", folder / "multi_turn_trace.parquet", "--summary", folder / "trace.json",
    )  # fmt: skip
    lines = folder / "lines.jsonl"
    lines.write_text("".join(json.dumps(record) + "\n" for record in HASHED))
    IMPORTS["mooncake"].read(lines).write(folder / "hashed_trace.parquet")
    export(folder, data)
    return Exported(folder)


def export(folder: Path, data: list[object], outdir: Path | None = None) -> None:
    outdir = outdir or folder
    traces = [folder / f"{name}_trace.parquet" for name in ("multi_turn", "hashed")]
    run(
        "traces_exports", "--traces", *traces, "--formats", *EXPORTS, "--block-size", BLOCKS, *data,
        "--outdir", outdir, "--index", outdir / "index.json",
    )  # fmt: skip
