"""The exports: the same bytes each time, and an index that names every file."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import traces_exports
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.traces.exports.conftest import export
from vllm_lab.common.schema import load
from vllm_lab.provenance.schemas import check
from vllm_lab.traces.formats import EXPORTS
from vllm_lab.traces.formats.format import READ_BACK, Outgoing, Reader
from vllm_lab.traces.prefix_tree import hash_ids
from vllm_lab.traces.trace import Trace

ROOT = Path(__file__).parents[3]


def test_the_same_traces_give_the_same_bytes(exported, data, tmp_path):
    export(exported.folder, data, tmp_path)
    for path in sorted(tmp_path.iterdir()):
        if path.name != "index.json":  # it names the folder
            assert path.read_bytes() == (exported.folder / path.name).read_bytes(), path.name


def test_the_index_fits_its_schema_and_names_every_file(exported):
    check(exported.folder / "index.json", ROOT / "workflow/schemas/exports.schema.yaml")
    found = {(entry["trace"], entry["format"]): entry for entry in exported.index["exports"]}
    assert {format for trace, format in found if trace == "multi_turn"} == set(EXPORTS)
    assert {format for trace, format in found if trace == "hashed"} == {"mooncake", "vidur", "libcachesim"}
    for entry in found.values():
        assert entry["bytes"] == Path(entry["file"]).stat().st_size
        for reader in entry["readers"]:
            assert entry["file"] in reader["command"]
            assert "{" not in reader["command"].replace('{"add_special_tokens": false}', "")


def test_commands_name_the_traces_own_block_size_and_longest_request(exported):
    commands = {
        (entry["trace"], entry["format"]): entry["readers"][0]["command"]
        for entry in exported.index["exports"]
    }
    assert "--timed-trace-chunk-hash-size 16" in commands["multi_turn", "mooncake"]
    assert "--timed-trace-chunk-hash-size 512" in commands["hashed", "mooncake"]
    assert "max_tokens 1034" in commands["hashed", "vidur"]


def test_vidurs_table_has_the_lengths_and_times(exported):
    trace = exported.trace()
    with exported.path("vidur").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["arrived_at"]) for row in rows] == trace.arrival_time.tolist()
    assert [int(row["num_prefill_tokens"]) for row in rows] == trace.prompt_tokens.tolist()
    assert [int(row["num_decode_tokens"]) for row in rows] == trace.output_tokens.tolist()


def test_llmservingsims_lines_have_the_tokens(exported):
    trace = exported.trace()
    lines = [json.loads(line) for line in exported.path("llmservingsim").read_text().splitlines()]
    assert len(lines) == len(trace)
    for row, line in enumerate(lines):
        assert line["input_tok_ids"] == trace.prompt(row).tolist()
        assert line["output_tok_ids"] == trace.output(row).tolist()
        assert (line["input_toks"], line["output_toks"]) == tuple(
            len(line[key]) for key in ("input_tok_ids", "output_tok_ids")
        )
        assert line["arrival_time_ns"] == pytest.approx(1e9 * trace.arrival_time[row], abs=1)


def test_messages_take_turns_from_the_user_on_and_the_others_are_counted(exported):
    """What benchmark_serving_multi_turn.py asserts of each conversation."""
    trace = exported.trace()
    written = json.loads(exported.path("messages").read_text())
    for conversation in written:
        roles = [message["role"] for message in conversation["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert roles
        assert all(set(message) == {"role", "content"} for message in conversation["messages"])
    entry = next(entry for entry in exported.index["exports"] if entry["format"] == "messages")
    assert len(written) == entry["records"]
    assert entry["records"] + entry["left_out"] == len(set(trace.conversation_id))
    assert entry["left_out"] > 0  # those that begin with the assistant, or where the user speaks twice


def test_vllm_knows_every_flag_of_its_commands(exported):
    serve = pytest.importorskip("vllm.benchmarks.serve")
    parsing = pytest.importorskip("vllm.utils.argparse_utils")
    parser = parsing.FlexibleArgumentParser()
    serve.add_cli_args(parser)
    commands = [reader["command"] for entry in exported.index["exports"] for reader in entry["readers"]]
    commands = [words for words in map(shlex.split, commands) if "bench" in words]
    assert len(commands) == 4
    for words in commands:
        found = parser.parse_args(words[words.index("serve") + 1 :])
        assert Path(found.dataset_path).is_file()


@settings(max_examples=100, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9), min_size=1, max_size=8),
    size=st.integers(1, 4),
)
def test_two_blocks_have_one_id_if_and_only_if_all_up_to_their_end_is_equal(prompts, size):
    trace = Trace.from_requests(prompts, [[7]] * len(prompts), [0.0] * len(prompts))
    paths = hash_ids(trace, size)
    ends = [
        (tuple(prompt[: start + size]), len(prompt[start : start + size]))
        for prompt in prompts
        for start in range(0, len(prompt), size)
    ]
    numbers = {end: number for number, end in enumerate(dict.fromkeys(ends))}
    assert paths.block.tolist() == [numbers[end] for end in ends]  # numbered by first access
    assert np.diff(paths.offsets).tolist() == [-(-len(prompt) // size) for prompt in prompts]


def test_a_module_and_a_row_in_the_table_are_all_that_a_format_needs(exported, data, tmp_path, monkeypatch):
    def records(source):
        return ({"id": name} for name in source.trace.request_id)

    about = Outgoing(
        "names.jsonl", "requests", True, (Reader("cat", "cat {file}", READ_BACK),), ("Names.",), records
    )
    monkeypatch.setitem(EXPORTS, "names", about)
    schema = load(ROOT / "workflow/schemas/exports.schema.yaml")
    assert "names" in schema["$defs"]["format"]["enum"]
    flags = ["--traces", exported.folder / "hashed_trace.parquet", "--formats", "names", "--block-size", 16]
    flags += [*data, "--outdir", tmp_path, "--index", tmp_path / "index.json"]
    traces_exports.main(list(map(str, flags)))
    assert (tmp_path / "hashed.names.jsonl").read_text() == '{"id":"r1"}\n{"id":"r2"}\n{"id":"r3"}\n'
    check(tmp_path / "index.json", ROOT / "workflow/schemas/exports.schema.yaml")
