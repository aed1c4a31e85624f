"""The scripts of this stage on the command line, from conversations to JSON Lines and summary."""

import hashlib
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from vllm_lab.traces.trace import Trace

ROOT = Path(__file__).parents[2]


def script(name: str, *flags: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / f"{name}.py", *map(str, flags)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "VLLM_LAB_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(name: str, *flags: object) -> None:
    done = script(name, *flags)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def made(many_conversations, model_dir, tmp_path_factory) -> Path:
    """Both traces of all conversations in every form."""
    folder = tmp_path_factory.mktemp("made")
    template = ["--chat-template", "tokenizer", "--default-system-prompt", "keep"]
    data = ["--conversations", many_conversations, "--model-dir", model_dir]
    streams, config = folder / "streams.parquet", folder / "config.json"
    config.write_text('{"max_position_embeddings": 8192}')
    succeed("traces_tokens", *data, *template, "--output", streams, "--summary", folder / "tokens.json")
    for mode in ("single_turn", "multi_turn"):
        trace, summary = folder / f"{mode}_trace.parquet", folder / f"{mode}.json"
        succeed(
            "traces_make", "--streams", streams, "--model-config", config, "--mode", mode, "--rate", 2,
            "--count", 0, "--begins-with", "any", "--priorities", "0:0.8", "1:0.2",
            "--output", trace, "--summary", summary,
        )  # fmt: skip
        succeed("traces_jsonl", "--trace", trace, *data, *template, "--output", trace.with_suffix(".jsonl"))
    return folder


def test_json_lines_hold_the_text_of_every_prompt_and_the_same_tokens(made, model_dir) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model_dir)
    for mode, requests in (("single_turn", 600), ("multi_turn", 1255)):
        lines = [json.loads(line) for line in (made / f"{mode}_trace.jsonl").read_text().splitlines()]
        trace = Trace.read(made / f"{mode}_trace.parquet")
        assert len(lines) == len(trace) == requests
        for row in range(0, requests, 11):
            line = lines[row]
            assert line["prompt_token_ids"] == trace.prompt(row).tolist()
            assert line["output_token_ids"] == trace.output(row).tolist()
            assert line["prompt"] == tokenizer.decode(line["prompt_token_ids"])
            assert (line["prompt_tokens"], line["output_tokens"]) == tuple(
                len(line[key]) for key in ("prompt_token_ids", "output_token_ids")
            )
            assert line["request_id"] == f"{line['conversation_id']}-t{line['turn']}"


def test_json_lines_trace_reads_as_the_parquet_one(made) -> None:
    one, other = (Trace.read(made / f"multi_turn_trace.{form}") for form in ("parquet", "jsonl"))
    assert one.request_id == other.request_id
    assert one.arrival_time.tolist() == other.arrival_time.tolist()
    assert one.priority.tolist() == other.priority.tolist()
    assert all((one.prompt(row) == other.prompt(row)).all() for row in range(len(one)))


def test_summary_joins_the_parts_by_name(made) -> None:
    parts = [f"--part={mode}={made / mode}.json" for mode in ("single_turn", "multi_turn")]
    succeed("traces_summary", *parts, "--output", made / "summary.json")
    traces = json.loads((made / "summary.json").read_text())["traces"]
    requests = {name: part["requests"] for name, part in traces.items()}
    assert requests == {
        "single_turn": 600,
        "multi_turn": 1255,
    }


def test_conversations_of_another_run_are_refused(made, model_dir, many_conversations, tmp_path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pq.read_table(many_conversations).slice(0, 300), other)
    done = script(
        "traces_jsonl", "--trace", made / "single_turn_trace.parquet", "--conversations", other,
        "--model-dir", model_dir, "--chat-template", "tokenizer", "--default-system-prompt", "keep",
        "--output", tmp_path / "x.jsonl",
    )  # fmt: skip
    assert done.returncode == 1
    assert "other.parquet: conversation c300 has 0 user turns" in done.stderr
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--priorities", "0:0.8", "1:0.3"], "shares must be positive and sum to 1"),
        (["--priorities", "high"], "write PRIORITY:SHARE"),
        (["--priorities", "0:0.5", "0:0.5"], "a priority is given twice"),
        (["--rate", "0"], "--rate more than 0"),
        (["--rate", "nan"], "--rate more than 0"),
    ],
)
def test_bad_flag_is_one_line(tmp_path, flags, message) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 8192}')
    done = script(
        "traces_make", "--streams", tmp_path / "none", "--model-config", tmp_path / "config.json",
        "--mode", "multi_turn", "--rate", 1, *flags,
        "--output", tmp_path / "o.parquet", "--summary", tmp_path / "s.json",
    )  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_packaged_mooncake_trace_is_whole_and_imports(tmp_path) -> None:
    packed = ROOT / "resources" / "mooncake_conversation_trace.jsonl.xz"
    readme = (packed.parent / "README.md").read_text()
    assert hashlib.sha256(packed.read_bytes()).hexdigest() in readme
    assert hashlib.sha256(lzma.decompress(packed.read_bytes())).hexdigest() in readme
    output, summary = tmp_path / "mooncake_conversation_trace.parquet", tmp_path / "part.json"
    succeed(
        "traces_import", "--format", "mooncake", "--input", packed, "--output", output, "--summary", summary
    )
    assert len(Trace.read(output)) == json.loads(summary.read_text())["requests"] == 12_031
