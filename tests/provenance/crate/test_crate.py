"""The run as a research object: what it says is what the documents say, and validators accept it."""

import json
from pathlib import Path

import pytest
from rocrate.model import Entity
from rocrate.rocrate import ROCrate

from tests.provenance.crate.conftest import described
from tests.provenance.crate.finished import ARCHIVE, MADE, REPORT
from tests.provenance.crate.validator import failures
from tests.report.words import HOSTILE
from vllm_lab.provenance import documents
from vllm_lab.provenance.documents import Document


@pytest.fixture(scope="module")
def crate(finished: Path) -> ROCrate:
    """The description as the library reads it."""
    return ROCrate(finished / "results")


@pytest.fixture(scope="module")
def jobs(finished: Path) -> dict[str, Document]:
    """The jobs behind the report, by their actions' ids."""
    found = documents.collect(finished).values()
    return {
        f"#job/{job.path.removeprefix('results/').removesuffix('.prov.json')}": job
        for job in found
        if job.identity["rule"] != "provenance_crate"
    }


def many(value: list[Entity] | Entity | None) -> list[Entity]:
    return value if isinstance(value, list) else [] if value is None else [value]


def hashes(files: list[Entity] | Entity | None) -> dict[str, str]:
    """Path -> sha256 of the files among what an action points to."""
    return {f"results/{file.id}": file["sha256"] for file in many(files) if file.type == "File"}


def test_the_description_passes_every_required_check_of_its_profiles(finished):
    assert failures(finished / "results") == []


@pytest.mark.parametrize("missing", ["mainEntity", "conformsTo", "license"])
def test_a_description_without_what_the_profiles_require_fails(finished, tmp_path, missing):
    described = json.loads((finished / MADE[0]).read_text())
    del next(entity for entity in described["@graph"] if entity["@id"] == "./")[missing]
    (tmp_path / "ro-crate-metadata.json").write_text(json.dumps(described))
    assert failures(tmp_path)


def test_every_job_is_an_action_with_its_files_hashes_and_times(crate, jobs):
    actions = {action.id: action for action in crate.get_by_type("CreateAction")}
    assert actions.keys() == {*jobs, "#run"}
    for id, job in jobs.items():
        action = actions[id]
        assert hashes(action["result"]) == job.outputs
        assert hashes(action.get("object")).items() <= job.inputs.items()
        assert len(many(action.get("object"))) == len(job.inputs) + len(job.identity["params"])
        assert (action["startTime"], action["endTime"]) == (job.run["started"], job.run["ended"])
        assert action["instrument"]["name"].split("/")[-1].removeprefix("rule ") == job.identity["rule"]
        assert action["location"]["name"] == job.run["host"]["name"]


def test_every_file_in_the_description_is_there_with_its_size(finished, crate, jobs):
    files = {file.id: file for file in crate.get_by_type("File", exact=True)}
    assert {path for job in jobs.values() for path in job.outputs} <= {f"results/{id}" for id in files}
    for id, file in files.items():
        assert int(file["contentSize"]) == (finished / "results" / id).stat().st_size


def test_the_engine_schedules_our_jobs_and_not_those_of_a_bundle(crate, jobs):
    scheduled = {control["object"].id for control in crate.get("#engine")["object"]}
    foreign = {id for id, job in jobs.items() if job.bundle}
    assert foreign == {"#job/bundles/h200/plan/cuda/plan_prefix_cache"}
    assert scheduled == jobs.keys() - foreign
    action = crate.get(foreign.pop())
    assert action["location"]["name"] == "gpu-node"
    assert (action["environment"]["name"], action["environment"]["value"]) == ("slurm_job_id", "17")


def test_settings_given_files_and_the_report_frame_the_run(finished, crate):
    run = crate.get("#run")
    assert run["instrument"] is crate.mainEntity
    assert crate.get("#run/device")["value"] == HOSTILE
    assert crate.get("#run/device")["exampleOfWork"] in many(crate.mainEntity["input"])
    given = f"#given/{finished.with_name('given.txt')}"
    assert {part.id for part in run["object"]} == {"#run/device", given}
    assert hashes(run["result"]).keys() == set(REPORT)


def test_a_tool_names_its_code_by_content_and_where_it_is_packed(crate, jobs):
    code = jobs["#job/data/own"].identity["code"]
    part = crate.get("#job/data/own")["instrument"]["hasPart"]
    assert {part["name"]: part["sha256"]} == code
    assert part["isPartOf"].id == "provenance/source.zip"


def test_the_same_documents_give_the_same_description_and_the_same_archive(finished, copy):
    for path in (*MADE, ARCHIVE):
        (copy / path).unlink()
    described(copy)
    for path in (*MADE, ARCHIVE):
        assert (copy / path).read_bytes() == (finished / path).read_bytes()
