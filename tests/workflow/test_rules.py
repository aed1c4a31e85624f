"""What every rule must have, read from the workflow itself."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "workflow/rules").glob("*.smk"))
RULES = {
    name: body
    for file in FILES
    for name, body in re.findall(r"^rule (\w+):\n((?:(?:[ \t].*)?\n)+)", file.read_text(), re.MULTILINE)
}


def directives(body: str) -> list[str]:
    return re.findall(r"^    (\w+):", body, re.MULTILINE)


def test_there_are_rules():
    assert {
        "data_sharegpt",
        "data_conversations",
        "data_model",
        "traces_tokens",
        "traces_make",
        "sharing_analysis",
        "sharing_sweep",
        "replay_mini",
        "oracle_replay",
        "replay_compare",
        "replay_figures",
        "report_render",
    } <= RULES.keys()


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_has_log_benchmark_message_environment_and_provenance(name):
    body = RULES[name]
    assert {"input", "output", "log", "benchmark", "conda", "message", "shell"} <= set(directives(body))
    assert re.search(rf'traced\(\s*"{name}",', body), "its command does not run inside the provenance wrapper"
    assert f'code=code("{name}")' in body
    assert re.search(r"lock=(LOCK|\[LOCK, VLLM_LOCK\]),", body)
    assert re.search(r'prov="results/[^"]+\.prov\.json"', body)


@pytest.mark.parametrize("name", sorted(RULES))
def test_rule_script_log_benchmark_and_document_share_one_name(name):
    body = RULES[name]
    assert re.search(rf'prov="results/\w+/{name}(\.?\{{\w+\}})*\.prov\.json"', body)
    assert re.search(rf'"results/logs/{name}(\.?\{{\w+\}})*\.log"', body)
    assert re.search(rf'"results/timings/{name}(\.?\{{\w+\}})*\.tsv"', body)
    assert f"scripts/{name}.py" in body
    assert (ROOT / f"scripts/{name}.py").is_file()


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_table_and_every_json_of_a_rule_is_checked_against_a_schema(name):
    body = RULES[name]
    outputs = body[body.index("output:") : body.index("log:")]
    named = re.findall(r'(\w+)=(?:expand\(\s*)?"results/[^"]+\.(?:json|jsonl|csv|parquet)"', outputs)
    for output in set(named) - {"prov", "raw", "config", "generation"}:
        assert f"{output}_schema=schema(" in body, f"output {output} has no schema"
        assert re.search(rf'checked=\[[^\]]*"{output}"', body), f"output {output} is not checked"


@pytest.mark.parametrize("name", sorted(name for name in RULES if "VLLM_LOCK" in RULES[name]))
def test_every_rule_that_runs_vllm_has_its_container_and_if_it_measures_a_machine_to_itself(name):
    body = RULES[name]
    assert "    container:\n        VLLM_CONTAINER\n" in body
    assert "localrule" not in body
    measures = 'kind="measured"' in body
    assert measures == ("    threads: ALL_CORES\n" in body)
    assert measures == bool(re.search(r"^        \*\*measured\(", body, re.MULTILINE))


def test_only_common_files_define_functions_and_these_hold_no_rules():
    for file in (*FILES, ROOT / "Snakefile"):
        never = "rule" if file.stem.startswith("common") else "def"
        assert not re.search(rf"^\s*{never} ", file.read_text(), re.MULTILINE), file


def test_every_script_belongs_to_a_rule():
    assert {path.stem for path in (ROOT / "scripts").glob("*.py")} == set(RULES)


@pytest.mark.parametrize("name", sorted(RULES))
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
