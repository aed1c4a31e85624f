"""A replay as its files have it: one side of a comparison, or the ground for a figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mini_vllm.tools.records import Step
from vllm_lab.common import files
from vllm_lab.common.errors import LabError
from vllm_lab.replay import records
from vllm_lab.replay.records import Outcome, Refusal
from vllm_lab.replay.run_file import RunFiles

Key = tuple[str, str, str]  # engine, trace, memory


class StoredRun:
    """The run whose record is FOLDER/NAME.json, its other files beside it."""

    def __init__(self, record: Path) -> None:
        """LabError where the record is missing or broken."""
        self.name = record.name.removesuffix(".json")
        self.files = RunFiles.of(str(record).removesuffix(".json"))
        self.record: dict[str, Any] = files.read_json(record)

    @property
    def ran(self) -> bool:
        """False where the engine could not run; the files then hold nothing but the reason."""
        return self.record["status"] != "not_run"

    @property
    def steps(self) -> Iterator[Step]:
        """The steps, read anew from the first one on each time: they may be more than fit into memory."""
        return records.read_steps(self.files.steps)

    @property
    def requests(self) -> list[Outcome]:
        """The requests in order of arrival."""
        return records.read_requests(self.files.requests)

    @property
    def refused(self) -> list[Refusal]:
        """The requests that could never finish and never entered."""
        return [Refusal(**refusal) for refusal in self.record["refused"]]


def stored_runs(stored: Iterable[Path]) -> dict[Key, StoredRun]:
    """The replays of these records by key, in the order given."""
    return {_key(record): StoredRun(record) for record in stored}


def _key(record: Path) -> Key:
    """What singles a replay out: its record is named ENGINE.TRACE.MEMORY.json."""
    parts = record.name.removesuffix(".json").split(".")
    if len(parts) != 3:
        raise LabError(f"{record}: a replay's record is named ENGINE.TRACE.MEMORY.json")
    engine, trace, memory = parts
    return engine, trace, memory
