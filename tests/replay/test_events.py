"""The event log: what changes has a line, what goes on has none."""

from mini_vllm.tools.records import Step
from vllm_lab.replay.records import RunFiles, events
from vllm_lab.replay.replay import Result


def test_starts_resumptions_preemptions_evictions_and_ends_have_lines(tmp_path):
    steps = [
        Step(0, 0.0, {"a": 4, "b": 4}, [], [], [], 3),
        Step(1, 1.0, {"a": 1, "b": 1}, [], [], [], 1),
        Step(2, 2.0, {"a": 1}, ["b"], ["a"], ["ff", "ee"], 5),
        Step(3, 3.0, {"b": 6}, [], ["b"], [], 5),
    ]
    expected = [
        "step 0 start a tokens 4",
        "step 0 start b tokens 4",
        "step 2 preempt b",
        "step 2 evict 2 blocks",
        "step 2 finish a",
        "step 3 resume b tokens 6",
        "step 3 finish b",
    ]
    assert list(events(steps)) == expected
    RunFiles(tmp_path / "run.csv", tmp_path / "run.json", events=tmp_path / "log.txt").write(
        Result(steps, [], []), {}
    )
    assert (tmp_path / "log.txt").read_text().splitlines() == expected
