"""The rules as Snakemake knows them: `python tests/workflow/rules.py` prints them as JSON.

It runs in a process of its own, since the workflow sets variables of the environment.
"""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

ROOT = Path(__file__).parents[2]
CORES = 7  # a number that no rule asks for by itself


@cache
def all_rules() -> dict[str, dict[str, Any]]:
    """Name -> what the rule declares on a machine with CUDA, of every rule and target.

    Paths have their {wildcards} in them.
    """
    done = subprocess.run([sys.executable, __file__], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def making_rules() -> dict[str, dict[str, Any]]:
    """The rules that make something: all but the targets."""
    return {name: rule for name, rule in all_rules().items() if rule["output"]}


def _declared(rule: Any) -> dict[str, Any]:
    return {
        "stage": Path(str(rule.snakefile)).stem,
        "docstring": rule.docstring,
        "message": rule.message,
        "input": {name: _paths(files) for name, files in rule.input.items()},
        "output": _paths(rule.output),
        "document": _paths(rule.output.get("prov", ())),
        "log": _paths(rule.log),
        "benchmark": _paths(rule.benchmark or ()),
        "conda": Path(rule.conda_env).name if rule.conda_env else None,
        "container": rule.container_img,
        "threads": rule.resources["_cores"].value,
        "resources": sorted(rule.resources),
        "command": (rule.shellcmd or "").replace("{params.script}", str(rule.params.get("script"))),
    }


def _paths(files: Any) -> list[str]:
    """Paths without the constraints of their wildcards; functions of wildcards are left out."""
    listed = [files] if isinstance(files, str) or callable(files) else files
    return [re.sub(r"\{(\w+),[^}]*\}", r"{\1}", str(file)) for file in listed if not callable(file)]


if __name__ == "__main__":
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=CORES),
            config_settings=ConfigSettings(config={"device": "cuda"}),
            snakefile=ROOT / "Snakefile",
        )
        rules = workflow._workflow.rules  # the API itself only prints their names
        print(json.dumps({rule.name: _declared(rule) for rule in rules}))
