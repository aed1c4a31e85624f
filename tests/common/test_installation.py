"""`pip install .`: its commands run, and it declares what the code imports, from what the locks pin."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vllm_lab.__main__ import main, stages

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"mini_vllm", "vllm_lab"}
IMPORTED_AS = {"pyyaml": "yaml"}
BY_ANOTHER = {"pydantic": "vllm"}  # vLLM's own classes are what needs it


def names(requirements):
    """Of each requirement the name of its package, as modules are spelt."""
    found = [re.match(r"[A-Za-z0-9-]+", requirement).group().lower() for requirement in requirements]
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in found} - OWN


def imported(text):
    """The first parts of what a file imports, in functions too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_everything_that_is_imported_is_declared():
    extras = PROJECT["optional-dependencies"].values()
    declared = names([*PROJECT["dependencies"], *(one for extra in extras for one in extra)])
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
    found = {module for file in files for module in imported(file.read_text())}
    assert found - set(sys.stdlib_module_names) - OWN - BY_ANOTHER.keys() - declared == set()


def test_the_dependencies_are_pinned_by_the_core_lock():
    lock = (ROOT / "envs/core.lock").read_text()
    pinned = names(re.findall(r"^[A-Za-z0-9-]+(?===)", lock, re.MULTILINE))
    assert names(PROJECT["dependencies"]) <= pinned


@pytest.mark.parametrize("command", PROJECT["scripts"])
def test_each_command_is_a_function_that_shows_its_help(command, capsys, monkeypatch):
    module, function = PROJECT["scripts"][command].split(":")
    monkeypatch.setattr(sys, "argv", [command, "--help"])
    try:
        getattr(importlib.import_module(module), function)()
    except SystemExit as ended:
        assert ended.code == 0
    assert "usage: " in capsys.readouterr().out


def test_without_a_stage_all_stages_are_listed(capsys):
    main([])
    packages = {path.parent.name for path in (ROOT / "src/vllm_lab").glob("*/__main__.py")}
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]} == packages == set(stages())


def test_an_unknown_stage_is_an_error_that_names_the_stages(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["orakel"])
    assert "'orakel' is no stage; the stages are" in capsys.readouterr().err


def test_a_stage_gets_its_flags_and_its_exit_status(tmp_path):
    missing = tmp_path / "none.jsonl"
    flags = ["oracle", "compare", "--version", "v4_prefix", "--num-blocks", "9", "--trace", str(missing)]
    ran = [
        subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
        for command in (["vllm_lab", *flags], [f"vllm_lab.{flags[0]}", *flags[1:]])
    ]
    assert ran[0].returncode == ran[1].returncode == 1
    assert ran[0].stderr == ran[1].stderr != ""
