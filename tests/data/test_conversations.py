"""From a raw file to conversations.parquet and rejects.json, on an excerpt of ShareGPT."""

import json
import os
import subprocess
import sys
from pathlib import Path

import data_conversations as script
import pyarrow.parquet as pq
import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.data import conversations
from vllm_lab.data.conversation import Ledger

ROOT = Path(__file__).parents[2]
EXCERPT = ROOT / "tests" / "fixtures" / "sharegpt_excerpt.json"


def run(folder: Path, raw: Path, *flags: str) -> tuple[list[dict], dict]:
    """Rows of conversations.parquet and the content of rejects.json."""
    output, rejects = folder / "conversations.parquet", folder / "rejects.json"
    script.main(["--input", str(raw), "--output", str(output), "--rejects", str(rejects), *flags])
    return pq.read_table(output).to_pylist(), json.loads(rejects.read_text(encoding="utf-8"))


def raw_file(folder: Path, *records: object) -> Path:
    path = folder / "raw.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def record(id: str, *texts: str) -> dict:
    speakers = ["human", "gpt"] * len(texts)
    return {"id": id, "conversations": [{"from": speakers[n], "value": text} for n, text in enumerate(texts)]}


def test_the_excerpt_s_account_is_that_of_the_file_read_by_eye(tmp_path):
    rows, account = run(tmp_path, EXCERPT)
    applied = {rule: entry["count"] for rule, entry in account["rules"].items() if entry["count"]}
    assert applied == {
        "array_not_closed": 1,
        "truncated_record": 1,
        "conversation_empty": 1,
        "first_message_assistant": 3,
        "part_of_conversation": 5,
    }
    assert account["input_bytes"] == EXCERPT.stat().st_size
    assert account["records_read"] == 45
    assert account["conversations_kept"] == len(rows) == 43
    assert account["rules"]["conversation_empty"]["example"]["id"] == "ZUkSe7V_0"
    assert rows[0]["conversation_id"] == "i6IyJda_0"
    assert rows[0]["messages"][0] == {
        "role": "user",
        "text": "How to tell if a customer segment is well segmented? In 3 bullet points.",
    }


def test_the_excerpt_s_parts_are_joined_on_request(tmp_path):
    rows, account = run(tmp_path, EXCERPT, "--merge-parts")
    assert account["records_joined"] == account["rules"]["part_of_conversation"]["count"] == 5
    assert account["rules"]["part_of_conversation"]["action"] == "joined record"
    joined = next(row for row in rows if row["conversation_id"] == "hRPPgZT")
    assert len(joined["messages"]) == 22  # parts 0 to 11, 11 to 17 and 17 to 21
    assert not any(row["messages"][0]["role"] == "assistant" for row in rows)


def test_a_second_conversation_of_the_same_id_gets_a_suffix_that_is_free(tmp_path):
    raw = raw_file(tmp_path, *(record(id, "x") for id in ["a", "a#2", "a", "a", "b"]))
    rows, account = run(tmp_path, raw)
    assert [row["conversation_id"] for row in rows] == ["a", "a#2", "a#3", "a#4", "b"]
    assert account["rules"]["id_duplicate"]["count"] == 2


def test_an_empty_record_does_not_take_the_id_of_the_whole_one(tmp_path):
    rows, account = run(tmp_path, raw_file(tmp_path, record("a"), record("a", "x")))
    assert [row["conversation_id"] for row in rows] == ["a"]
    assert account["rules"]["id_duplicate"]["count"] == 0


def test_a_joined_conversation_does_not_take_the_id_of_another(tmp_path):
    rows, _ = run(tmp_path, raw_file(tmp_path, record("a", "x"), record("a_0", "y")), "--merge-parts")
    assert [row["conversation_id"] for row in rows] == ["a", "a#2"]


def test_two_messages_of_one_role_in_a_row_are_kept_and_counted(tmp_path):
    odd = {
        "id": "a",
        "conversations": [{"from": who, "value": "x"} for who in ("human", "human", "gpt", "gpt", "gpt")],
    }
    rows, account = run(tmp_path, raw_file(tmp_path, odd))
    assert len(rows[0]["messages"]) == 5
    assert account["rules"]["consecutive_same_role"]["count"] == 3


@pytest.mark.parametrize(
    ("limit", "read", "stopped"), [(0, 0, True), (2, 2, True), (3, 3, False), (9, 3, False)]
)
def test_reading_stops_at_the_limit_and_says_whether_anything_was_left(tmp_path, limit, read, stopped):
    ledger = Ledger()
    raw = raw_file(tmp_path, *(record(id, "x") for id in "abc"))
    assert len(list(conversations.read(raw, ledger, max_records=limit))) == read
    assert ledger.stopped_after_max_records is stopped


def test_a_file_with_no_conversation_left_is_an_error_that_says_why(tmp_path):
    with pytest.raises(
        LabError, match=r"raw\.json: no conversation is left of 2 records \(conversation_empty 2\)"
    ):
        run(tmp_path, raw_file(tmp_path, record("a"), record("b")))
    assert json.loads((tmp_path / "rejects.json").read_text())["records_dropped"] == 2


def test_many_conversations_go_into_several_row_groups_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(conversations, "_ROW_GROUP", 3)
    rows, _ = run(tmp_path, raw_file(tmp_path, *(record(f"c{n}", "x", "y") for n in range(8))))
    assert [row["conversation_id"] for row in rows] == [f"c{n}" for n in range(8)]
    assert pq.ParquetFile(tmp_path / "conversations.parquet").num_row_groups == 3


def test_two_runs_in_different_surroundings_give_the_same_bytes(tmp_path):
    outputs = []
    for seed, zone, locale in [("0", "UTC", "C"), ("7", "Asia/Tokyo", "C.UTF-8")]:
        folder = tmp_path / seed
        folder.mkdir()
        flags = ["--input", str(EXCERPT), "--output", "c.parquet", "--rejects", "r.json", "--merge-parts"]
        path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
        surroundings = {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale, "PYTHONPATH": path}
        command = [sys.executable, str(ROOT / "scripts" / "data_conversations.py"), *flags]
        subprocess.run(command, cwd=folder, env=os.environ | surroundings, check=True, capture_output=True)
        outputs.append([(folder / name).read_bytes() for name in ("c.parquet", "r.json")])
    assert outputs[0] == outputs[1]
