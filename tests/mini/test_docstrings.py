"""The traces in the docstring of each version are what that version and the one before it really do."""

import importlib
import re
from pathlib import Path

import pytest

from mini_vllm.__main__ import main
from mini_vllm.errors import OutOfBlocks
from mini_vllm.limits import Limits
from mini_vllm.tools.versions import VERSIONS
from tests.mini.workloads import Row, engine

LIMITS = re.compile(r"^    blocks (\d+) of (\d+) tokens, (\d+) tokens a step$", re.MULTILINE)
REQUEST = re.compile(r"^    (\w+) arrives (\d+), prompt (\d+), output (\d+)$", re.MULTILINE)
STEP = re.compile(r"^    (v\d_\w+)  (.+)$", re.MULTILINE)


def lines(version, rows, limits):
    """A run as the docstrings show it, a line for each step and one for v1's end."""
    try:
        for step in engine(version, rows, limits).run():
            text = f"step {step.step}  " + " ".join(f"{name}:{new}" for name, new in step.scheduled.items())
            text += "".join(f", preempts {name}" for name in step.preempted)
            text += "".join(f", finishes {name}" for name in step.finished)
            yield text + (f", evicts {len(step.evicted)}" if step.evicted else "")
    except OutOfBlocks as error:
        yield f"OutOfBlocks: {error}"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_docstring_shows_what_the_version_and_the_one_before_it_do(version):
    text = importlib.import_module(f"mini_vllm.{version}").__doc__
    blocks, block_size, budget = map(int, LIMITS.search(text).groups())
    limits = Limits(blocks + 1, block_size, 8, budget)
    rows = [
        Row(name, float(arrival), 0, list(map(int, prompt)), list(map(int, output)))
        for name, arrival, prompt, output in REQUEST.findall(text)
    ]
    shown: dict[str, list[str]] = {}
    for name, line in STEP.findall(text):
        shown.setdefault(name, []).append(line)
    place = list(VERSIONS).index(version)
    assert list(shown) == list(VERSIONS)[max(0, place - 1) : place + 1]
    for name, expected in shown.items():
        assert list(lines(name, rows, limits))[: len(expected)] == expected
    assert place == 0 or len({tuple(expected) for expected in shown.values()}) == 2, "nothing changes"


def test_the_tour_in_docs_prints_what_the_page_shows(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs/mini_vllm.md").read_text()
    trace, run, summary, explain, story, *_ = re.findall(r"```\n(.*?)```", page, re.DOTALL)
    (tmp_path / "tour.jsonl").write_text(trace)
    monkeypatch.chdir(tmp_path)
    for command, printed in ((run, summary), (explain, story)):
        main(command.split()[1:])
        assert capsys.readouterr().out == printed
