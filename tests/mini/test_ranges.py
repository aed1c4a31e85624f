"""NVTX ranges: there when asked for, and nothing at all otherwise. Each in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDING_NVTX = """
import functools

opened = []


def annotate(name, domain):
    def decorate(function):
        @functools.wraps(function)
        def ranged(*args, **kwargs):
            opened.append((domain, name))
            return function(*args, **kwargs)

        return ranged

    return decorate
"""
TRACE = "".join(
    json.dumps(
        {
            "request_id": name,
            "arrival_time": 0,
            "prompt_token_ids": [1] * 9,
            "output_token_ids": [2] * 3,
        }
    )
    + "\n"
    for name in "ab"
)


def run(tmp_path, code, *, on, path=()):
    """Run the mini on a small trace in a new interpreter, then `code`; return what that prints."""
    (tmp_path / "t.jsonl").write_text(TRACE)
    flags = f"run --version v4_prefix --trace {tmp_path}/t.jsonl --num-blocks 9 --block-size 4"
    flags += f" --steps {tmp_path}/s.jsonl --requests {tmp_path}/r.csv"
    program = (
        "import contextlib, io; from mini_vllm.__main__ import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()): main({flags.split()!r})\n{code}"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT / "src"]))}
    environment["MINI_VLLM_NVTX"] = on
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def recording(tmp_path):
    """A folder with an nvtx that writes down the ranges."""
    folder = tmp_path / "stub"
    folder.mkdir()
    (folder / "nvtx.py").write_text(RECORDING_NVTX)
    return folder


def test_every_step_schedules_and_allocates_inside_its_range(tmp_path):
    code = "import nvtx, json; print(json.dumps(nvtx.opened))"
    opened = json.loads(run(tmp_path, code, on="1", path=[recording(tmp_path)]))
    assert {domain for domain, _ in opened} == {"mini_vllm"}
    names = [name for _, name in opened]
    steps = len((tmp_path / "s.jsonl").read_text().splitlines())
    assert names.count("engine.step") == names.count("scheduler.schedule") == steps == 3
    assert names[:3] == ["engine.step", "scheduler.schedule", "block_manager.allocate"]


@pytest.mark.parametrize("on", ["", "0"])
def test_off_every_function_is_the_one_that_was_written(tmp_path, on):
    code = (
        "import nvtx; from mini_vllm.tools.engines import ENGINES\n"
        "from mini_vllm.v4_prefix.block_manager import BlockManager\n"
        "parts = [ENGINES['v4_prefix'].step, BlockManager.allocate]\n"
        "print(nvtx.opened, [hasattr(part, '__wrapped__') for part in parts])"
    )
    assert run(tmp_path, code, on=on, path=[recording(tmp_path)]).strip() == "[] [False, False]"


@pytest.mark.skipif(importlib.util.find_spec("nvtx") is None, reason="nvtx is not installed")
def test_the_real_nvtx_changes_no_byte(tmp_path):
    code = "from mini_vllm.tools import ranges; print(ranges.ON)"
    assert run(tmp_path, code, on="1").strip() == "True"
    ranged = [(tmp_path / name).read_bytes() for name in ("s.jsonl", "r.csv")]
    assert run(tmp_path, code, on="0").strip() == "False"
    assert ranged == [(tmp_path / name).read_bytes() for name in ("s.jsonl", "r.csv")]
