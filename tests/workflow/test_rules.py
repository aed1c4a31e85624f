"""What every rule must have, as Snakemake reads the workflow."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.rules import CORES, making_rules
from vllm_lab.provenance.schemas import matched

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
VLLM = "envs/cuda.lock"


@pytest.fixture(scope="module")
def rules() -> dict[str, dict]:
    return making_rules()


def made(rule: dict) -> list[str]:
    """The rule's outputs without its document."""
    return [path for path in rule["output"] if path not in rule["document"]]


def kind(rule: dict) -> str:
    """The kind of result that the rule's command states; a rule may compute it."""
    return re.search(r" --kind (\S+)", rule["command"])[1]


def test_every_rule_says_what_it_makes_and_has_an_environment(rules):
    lacking = {
        name: key
        for name, rule in rules.items()
        for key in ("docstring", "message", "conda")
        if not rule[key]
    }
    assert lacking == {}


def script(rule: dict) -> str:
    """The script's name, from the command."""
    before, after = rule["command"].split(" -- ")
    assert before.startswith("python -m vllm_lab.provenance run ")
    return re.match(r"python scripts/(\w+)\.py ", after)[1]


def test_every_command_runs_its_rule_s_script_inside_the_provenance_wrapper(rules):
    for name, rule in rules.items():
        assert name.startswith(script(rule))
        assert f"scripts/{script(rule)}.py" in rule["input"]["code"]
        assert "envs/core.lock" in rule["input"]["lock"]


def test_every_script_belongs_to_a_rule(rules):
    assert {script(rule) for rule in rules.values()} == set(SCRIPTS)


def test_log_timing_and_document_bear_the_rule_s_name_and_its_wildcards(rules):
    for name, rule in rules.items():
        (document,), (log,), (timing,) = rule["document"], rule["log"], rule["benchmark"]
        tail = re.fullmatch(rf"results/logs/{name}((\.?\{{\w+\}})*)\.log", log)[1]
        assert timing == f"results/timings/{name}{tail}.tsv"
        assert document.startswith(f"results/{rule['stage']}/")
        assert document.endswith(f"/{name}{tail}.prov.json")
        assert set(re.findall(r"\{(\w+)\}", tail)) == set(re.findall(r" --wildcard (\w+)=", rule["command"]))


def test_a_rule_s_name_begins_with_its_stage_which_has_a_package_and_tests_of_that_name(rules):
    for name, rule in rules.items():
        stage = rule["stage"]
        assert name.startswith(f"{stage}_")
        assert (ROOT / "src/vllm_lab" / stage).is_dir()
        assert (ROOT / "tests" / stage).is_dir()


def test_a_schema_covers_every_table_and_json_file_of_a_rule_and_no_schema_is_idle(rules):
    for name, rule in rules.items():
        written = [path.replace("{run}", "exp001.run") for path in made(rule)]
        matched(name, written, rule["input"]["schemas"])


def test_every_rule_with_vllm_has_its_container_and_a_measuring_one_a_machine_to_itself(rules):
    with_vllm = {name: rule for name, rule in rules.items() if VLLM in rule["input"]["lock"]}
    assert {"oracle_replay", "plan_basics", "load_sweep"} <= with_vllm.keys()
    for name, rule in with_vllm.items():
        measures = kind(rule) == "measured" and name != "load_predict"  # it runs vLLM's scheduler alone
        assert rule["conda"] == "cuda.yaml", name
        assert rule["container"] == "envs/cuda.sif", name
        assert measures == (rule["threads"] == CORES), name
        assert measures == ({"gpu", "mem_mb", "runtime"} <= set(rule["resources"])), name


def test_rules_without_vllm_need_no_container(rules):
    others = [rule for rule in rules.values() if VLLM not in rule["input"]["lock"]]
    assert {(rule["conda"], rule["container"]) for rule in others} == {("core.yaml", None)}


def test_the_report_depends_on_a_document_of_every_rule_before_it(rules):
    documents = rules["report_render"]["input"]["documents"]
    absent = {
        name
        for name, rule in rules.items()
        if not any(fits(rule["document"][0].removeprefix("results/"), path) for path in documents)
    }
    assert absent == {"report_render", "provenance_crate", "provenance_archive"}


def test_the_research_object_names_every_file_of_the_report(rules):
    made = rules["report_render"]
    assert rules["provenance_crate"]["input"]["report"] == [
        path for path in made["output"] if path not in made["document"]
    ]


def test_only_the_common_file_defines_functions_and_it_holds_no_rules():
    for file in [*(ROOT / "workflow/rules").glob("*.smk"), ROOT / "Snakefile"]:
        never = "rule" if file.stem == "common" else "def"
        assert not re.search(rf"^\s*{never} ", file.read_text(), re.MULTILINE), file


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_explains_itself(name):
    done = subprocess.run(
        [sys.executable, f"scripts/{name}.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "In:" in done.stdout
    assert "Out:" in done.stdout


# results/README.md


def mapped() -> list[tuple[str, str]]:
    """(file pattern below results/, rule) of every row of the map of results that names rules."""
    rows = re.findall(
        r"^\| (`.*`) \| .* \| (`\w.*`) \|$", (ROOT / "results/README.md").read_text(), re.MULTILINE
    )
    return [
        (file, rule)
        for files, names in rows
        for file in re.findall(r"`([^`]+)`", files)
        for rule in re.findall(r"`(\w+)`", names)
    ]


def fits(pattern: str, path: str) -> bool:
    """Whether a path fits a pattern of the map: {a,b} is one of these, {x} any name, a final / a folder."""
    spelt = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}").replace(",", "|")
    spelt = re.sub(r"\{(\w+)\}", "[^/]*", spelt)
    spelt = re.sub(r"\{([^}]*)\}", r"(\1)", spelt)
    return re.fullmatch(f"results/{spelt}" + (".+" if pattern.endswith("/") else ""), path) is not None


def test_the_map_of_results_names_every_output_with_its_rule(rules):
    rows = mapped()
    missing = {
        (name, output)
        for name, rule in rules.items()
        for output in made(rule)
        if not any(named == name and fits(pattern, output) for pattern, named in rows)
    }
    assert missing == set()


def test_the_map_of_results_names_nothing_that_its_rule_does_not_make(rules):
    stale = {
        (pattern, name)
        for pattern, name in mapped()
        if not any(fits(pattern, path) for path in made(rules[name]))
    }
    assert stale == set()
