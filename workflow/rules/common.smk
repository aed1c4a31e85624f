# The functions that rules use. Nothing else in the workflow defines any.

import os
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from vllm_lab import config as configuration
from vllm_lab.errors import LabError
from vllm_lab.provenance.sources import code_of

# Jobs run this environment's python and this checkout's modules, whatever else is on the path.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    PYTHONPATH=str(ROOT / "src"),
)

try:
    configuration.check(config, ROOT / "workflow/schemas/config.schema.yaml")
except LabError as error:
    raise SystemExit(str(error)) from None

# The lock that the rules without vLLM depend on. Rules with vLLM will name theirs beside it.
LOCK = "envs/core.lock"
ENVIRONMENT = "../../envs/core.yaml"

TOKENIZER = [f"results/model/{name}" for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")]

MODES = ["single_turn", "multi_turn"]
IMPORTED = sorted(config["traces"]["imported"])
TRACES = MODES + IMPORTED


def code(name):
    """scripts/NAME.py and every module of ours that it imports: a change in one reruns the rule."""
    return code_of(f"scripts/{name}.py", ROOT)


def traced(rule, command, kind="deterministic", wildcards=()):
    """The command inside the wrapper that writes the job's provenance document.

    Every rule that makes something runs through it, with its script's code as input `code`, the environment's
    lock as input `lock` and the document as output `prov`.
    """
    given = "".join(f" --wildcard {name}={{wildcards.{name}}}" for name in wildcards)
    return (
        f"python -m vllm_lab.provenance run --rule {rule} --kind {kind}{given}"
        " --inputs {input:q} --code {input.code:q} --environment {input.lock:q}"
        " --outputs {output:q} --document {output.prov:q} --threads {threads} --log {log:q}"
        f" -- python {command}"
    )


def flags(values):
    """A mapping as command line flags: lists repeat the value, True gives the bare flag, False and '' nothing."""
    words = []
    for name, value in values.items():
        if value is False or value == "":
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += [str(item) for item in (value if isinstance(value, list) else [value])]
    return words


def source_flags(section):
    """`--source X` and the flags of that source, of a config section with one entry for each source."""
    source = config[section]["source"]
    given = config[section][source]
    return flags({"source": source, **(given if isinstance(given, dict) else {"path": given})})


def given_files(section):
    """The user's own file, or the files of the user's own folder, where the section's source is `path`."""
    if config[section]["source"] != "path":
        return []
    own = Path(config[section]["path"])
    return [str(file) for file in sorted(own.iterdir()) if file.is_file()] if own.is_dir() else [str(own)]
