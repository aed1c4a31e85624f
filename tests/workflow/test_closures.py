"""Which packages each rule's code may contain: a change in any of them reruns the rule.

A rule's code is its script and every module that the script imports, at any depth. So a measurement on real
vLLM must not import a version of mini-vLLM that it does not run, and a figure must not import an engine.
"""

from pathlib import Path

import pytest

from mini_vllm.tools.versions import VERSIONS
from tests.workflow.rules import making_rules

# What every rule may import: errors, files, console, flags; and mini-vLLM's requests, limits and clock.
COMMON = {"common", "mini_vllm"}
MINI = {f"mini_vllm.{version}" for version in VERSIONS}
REPLAY = {"replay", "traces", "mini_vllm.tools"}
ORACLE = REPLAY | {"oracle"}
ENGINE = ORACLE | {"engines", "measure"}

ALLOWED = {
    rule: COMMON | packages
    for rules, packages in {
        "data_sharegpt data_conversations data_model": {"data"},
        "traces_tokens traces_make traces_jsonl traces_import traces_summary traces_exports": {"traces"},
        "sharing_analysis sharing_reference sharing_sweep sharing_published": {"sharing", "traces"},
        "sharing_sweep_table sharing_figures sharing_sweep_figures": {"sharing"},
        "replay_mini replay_mini_imported experiments_mini": REPLAY | MINI,
        "replay_compare replay_figures": REPLAY,
        "oracle_replay experiments_oracle": ORACLE,
        "cost_model_measure": ENGINE | {"cost_model"},
        "cost_model_fit": REPLAY | MINI | {"cost_model", "measure"},
        "cost_model_figures": {"cost_model"},
        "load_sweep": ENGINE | {"load"},
        "load_predict": ORACLE | {"load", "measure", "sharing"},
        "load_figures": {"load"},
        "plan_basics plan_pair plan_scaling": ENGINE | {"data", "plan"},
        "plan_prefix_cache": ENGINE | {"data", "plan", "sharing"},
        "plan_code_quality": {"measure", "plan"},
        "plan_figures": {"plan"},
        "tracing_calls tracing_kernels": ENGINE | {"tracing"},
        "nsight_mini": REPLAY | MINI | {"measure", "nsight"},
        "nsight_vllm": ENGINE | {"nsight"},
        "nsight_metrics": {"measure", "nsight", "tracing"},
        "nsight_figures": {"nsight"},
        "experiments_real": ENGINE,
        "experiments_verdict": REPLAY | {"experiments", "nsight"},
        "experiments_progress": {"experiments"},
        "report_render": REPLAY
        | {"cost_model", "experiments", "load", "measure", "nsight", "plan", "provenance", "report"}
        | {"sharing", "tracing"},
        "provenance_configuration provenance_crate provenance_archive": {"provenance"},
    }.items()
    for rule in rules.split()
}


def package(file: str) -> str | None:
    """The package of a file of a rule's code, with mini-vLLM's folder where it has one. None for a script."""
    folder, *parts = Path(file).parts
    if folder != "src":
        return None
    top, *inner = parts[:-1]
    return ".".join([top, *inner[:1]]) if top == "mini_vllm" else (inner or ["common"])[0]


@pytest.fixture(scope="module")
def packages() -> dict[str, set[str]]:
    """Rule -> the packages in its code."""
    return {
        name: {found for file in rule["input"]["code"] if (found := package(file))}
        for name, rule in making_rules().items()
    }


def allowed(rule: str) -> set[str]:
    """What the table says; a rule that it does not name may import its own stage and the traces."""
    return ALLOWED.get(rule, COMMON | {making_rules()[rule]["stage"], "traces"})


def test_the_table_names_only_rules_that_exist(packages):
    assert ALLOWED.keys() <= packages.keys()


def test_no_rule_has_a_stranger_in_its_code(packages):
    strangers = {name: found - allowed(name) for name, found in packages.items() if found - allowed(name)}
    assert strangers == {}, "a change there would rerun these rules for nothing"


def test_what_measures_real_vllm_has_no_version_of_mini_vllm_in_its_code(packages):
    measuring = {name for name, found in packages.items() if "engines" in found}
    assert {"plan_basics", "cost_model_measure", "load_sweep", "nsight_vllm"} <= measuring
    assert {name for name in measuring if packages[name] & MINI} == set()
