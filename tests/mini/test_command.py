"""The command line: what it writes, what it prints, and how it names what is wrong with a trace."""

import csv
import json
import subprocess
import sys

import pytest

from mini_vllm.__main__ import main
from mini_vllm.limits import Limits
from tests.mini.test_versions import ROWS
from tests.mini.workloads import Row, engine

KEYS = ("request_id", "arrival_time", "priority", "prompt_token_ids", "output_token_ids")


def write_trace(path, rows):
    """The flags for a replay of `rows` in 5 usable blocks of 4 tokens."""
    path.write_text("".join(json.dumps(dict(zip(KEYS, row, strict=True))) + "\n" for row in rows))
    return ["--trace", str(path), "--num-blocks", "6", "--block-size", "4", "--clock", "0.01,0.00001,0.0001"]


@pytest.mark.parametrize("version", ["v1_naive", "v2_lru", "v3_priority", "v4_prefix"])
def test_run_writes_a_row_for_every_request(version, tmp_path, capsys):
    flags = write_trace(tmp_path / "t.jsonl", [*ROWS, Row("huge", 0.0, 0, [1] * 99, [1])])
    outputs = tmp_path / "steps.jsonl", tmp_path / "requests.csv"
    main(["run", "--version", version, *flags, "--steps", str(outputs[0]), "--requests", str(outputs[1])])
    rows = list(csv.DictReader(outputs[1].open()))
    assert [row["request_id"] for row in rows] == ["a", "b", "c", "huge"]
    printed = capsys.readouterr()
    assert "refused: huge needs 25 blocks, 5 are usable" in printed.err
    assert ("OutOfBlocks at step 1" in printed.out) == (version == "v1_naive")
    assert json.loads(outputs[0].read_text().splitlines()[0])["scheduled"]["a"] == 4


def printed_summary(capsys, tmp_path, version, rows, *more):
    """What `run` prints, by the first word of each line."""
    main(["run", "--version", version, *write_trace(tmp_path / "t.jsonl", rows), *more])
    lines = capsys.readouterr().out.splitlines()
    return {line[:13].strip(): line[13:] for line in lines}


def test_without_outputs_run_prints_a_summary(tmp_path, capsys):
    rows = [
        Row("a", 0.0, 0, [1] * 8, [2, 2, 2]),
        Row("b", 1.0, 0, [1] * 8, [2]),
        Row("c", 2.0, 0, [3] * 16, [2]),
        Row("huge", 3.0, 0, [4] * 99, [2]),
    ]
    found = printed_summary(capsys, tmp_path, "v4_prefix", rows)
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]
    assert found["requests"] == "4: 3 finished, 1 refused"
    assert found["steps"] == "5 in 2.01026 s"
    assert (found["preemptions"], found["evictions"]) == ("0", "2 blocks")
    assert found["hit rate"] == "12.50% of the prompt tokens (4 of 32)"
    assert found["TTFT"] == "median 0.01018 s, p99 0.0102584 s"
    assert found["TPOT"] == "median 0.01011 s, p99 0.01011 s"
    assert found["E2E"].startswith("median 0.01026 s, p99 ")
    assert "ended" not in found


@pytest.mark.parametrize("version", ["v2_lru", "v3_priority", "v4_prefix"])
def test_the_summary_is_the_same_with_and_without_steps_and_counts_what_they_hold(version, tmp_path, capsys):
    rows = [*ROWS, Row("d", 0.2, 0, [0] * 9, [9] * 3)]
    quick = printed_summary(capsys, tmp_path, version, rows)
    slow = printed_summary(capsys, tmp_path, version, rows, "--steps", str(tmp_path / "s.jsonl"))
    steps = list(map(json.loads, (tmp_path / "s.jsonl").read_text().splitlines()))
    assert quick == slow
    assert slow["steps"].split()[0] == str(len(steps))
    assert slow["preemptions"] == str(sum(len(step["preempted"]) for step in steps)) != "0"
    assert slow["evictions"] == f"{sum(len(step['evicted']) for step in steps)} blocks"
    assert (slow["evictions"] != "0 blocks") == (version == "v4_prefix")


def test_the_summary_says_where_v1_ended(tmp_path, capsys):
    found = printed_summary(capsys, tmp_path, "v1_naive", ROWS)
    assert found["requests"] == "3: 0 finished, 0 refused"
    assert found["ended"] == "OutOfBlocks at step 1 (0.01042 s): c needs 1 blocks, 0 are free"
    assert found["TPOT"] == found["E2E"] == "-"


GOOD = {"request_id": "x", "arrival_time": 0, "prompt_token_ids": [1, 2], "output_token_ids": [3]}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (
            {"prompt_token_ids": [1, 1.5]},
            "prompt_token_ids holds 1.5; a token id is a whole number from 0 to",
        ),
        ({"prompt_token_ids": [1, 1.0]}, "prompt_token_ids holds 1.0; a token id"),
        ({"prompt_token_ids": ["a"]}, 'prompt_token_ids holds "a"; a token id'),
        ({"prompt_token_ids": [1, True]}, "prompt_token_ids holds true; a token id"),
        ({"prompt_token_ids": [1, None]}, "prompt_token_ids holds null; a token id"),
        ({"prompt_token_ids": [[1]]}, "prompt_token_ids holds [1]; a token id"),
        ({"output_token_ids": [-1]}, "output_token_ids holds -1; a token id"),
        ({"output_token_ids": [2**31]}, "output_token_ids holds 2147483648; a token id"),
        ({"output_token_ids": "12"}, 'output_token_ids is "12", must be a list of token ids'),
        ({"arrival_time": "0"}, 'arrival_time is "0", must be a number of seconds'),
        ({"priority": 1.5}, "priority is 1.5, must be a whole number"),
        ({"request_id": None}, "request_id is null, must be a string"),
    ],
)
def test_a_wrong_value_is_named_with_file_line_and_key(wrong, named, tmp_path, capsys):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (GOOD, {**GOOD, "request_id": "y", **wrong})))
    with pytest.raises(SystemExit, match="1"):
        main(["run", "--version", "v4_prefix", "--trace", str(path), "--num-blocks", "9"])
    assert f"error: {path}: line 2: {named}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "there are no requests in it"),
        ("\n\n", "there are no requests in it"),
        ("{\n", "line 1: Expecting"),
        ("[1]\n", "line 1: a request must be a JSON object"),
        ('{"request_id": "x"}\n', "line 1: arrival_time is missing"),
        (json.dumps({**GOOD, "prompt_token_ids": []}), "x: prompt and output need a token each"),
    ],
)
def test_a_file_that_is_no_trace_is_named(text, named, tmp_path, capsys):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(SystemExit, match="1"):
        main(
            ["explain", "--version", "v4_prefix", "--trace", str(path), "--num-blocks", "9", "--request", "x"]
        )
    assert f"error: {path}: {named}" in capsys.readouterr().err


def test_ids_at_both_ends_of_the_range_are_taken():
    assert engine("v4_prefix", [Row("a", 0.0, 0, [0, 2**31 - 1], [0])], Limits(9)).coming


def test_a_reader_that_stops_reading_ends_the_command_quietly(tmp_path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text(
        "".join(
            f'{{"request_id":"{n}","arrival_time":0,"prompt_token_ids":[1],"output_token_ids":[2]}}\n'
            for n in range(9)
        )
    )
    command = f"{sys.executable} -m mini_vllm run --version v1_naive --trace {trace} --num-blocks 99 | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
