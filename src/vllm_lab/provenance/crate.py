"""A finished run as a Provenance Run Crate 0.5, made from its provenance documents.

The workflow is the crate's main entity. Its rules are tools and steps, and its jobs are actions on files and
parameters. Jobs of merged bundles are actions too, but they are not a part of this run. The profile names
those that it builds on: https://w3id.org/ro/wfrun/provenance/0.5
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from rocrate.model import Entity
from rocrate.rocrate import ROCrate

from vllm_lab.common import schema
from vllm_lab.common.files import canonical_json, sha256_file
from vllm_lab.provenance.archive import SOURCE
from vllm_lab.provenance.crate_entities import Entities
from vllm_lab.provenance.documents import SUFFIX
from vllm_lab.provenance.upstream import Job

VERSION = "1.1"
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WORKFLOW = "results/provenance/Snakefile"
_COMPLETED = "http://schema.org/CompletedActionStatus"
_UNITS = {"seconds": "SEC", "max_rss_mib": "E63", "threads": "C62"}  # UN/CEFACT's codes


def describe(
    root: Path,
    jobs: Sequence[Job],
    report: Sequence[str],
    *,
    source: Mapping[str, str],
    settings: Mapping[str, Any],
    citation: Mapping[str, Any],
) -> dict[str, Any]:
    """The crate as JSON-LD.

    jobs: those behind the files of `report`, from the raw data on. source: path -> sha256 of the project's
    own files, which are packed in SOURCE. settings: the resolved configuration. citation: CITATION.cff.
    """
    crate = ROCrate(version=VERSION)
    crate.metadata.extra_contexts.append(TERMS)
    entities = Entities(crate, root, source)
    own = [job for job in jobs if not job.document.bundle]
    _describe_root(entities, citation, own)
    workflow = _workflow(entities, own)
    actions = {job.anchor: _action(entities, job) for job in jobs}
    tools = {job.document.identity["rule"]: actions[job.anchor]["instrument"] for job in own}
    steps = {
        rule: entities.add(f"#step/{rule}", "HowToStep", name=rule, position=str(number), workExample=tool)
        for number, (rule, tool) in enumerate(tools.items(), 1)
    }
    workflow["hasPart"] = list(tools.values())
    workflow["step"] = list(steps.values())
    run = _run(entities, workflow, own, report, settings)
    scheduling = _scheduling(entities, own, actions, steps, run)
    crate.root_dataset["mentions"] = [scheduling, run, *actions.values()]
    described = crate.metadata.generate()
    return {**described, "@graph": [_compact(entity) for entity in described["@graph"]]}


def _compact(entity: Mapping[str, Any]) -> dict[str, Any]:
    """The entity, with each list of one value replaced by the value, as the profiles want it."""
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in entity.items()
    }


def _describe_root(entities: Entities, citation: Mapping[str, Any], own: Sequence[Job]) -> None:
    crate, licence = entities.crate, citation["license"]
    crate.name, crate.description = citation["title"], citation["abstract"].strip()
    crate.license = entities.add(f"https://spdx.org/licenses/{licence}", "CreativeWork", name=licence)
    crate.root_dataset["author"] = [
        entities.add(f"#author/{number}", "Organization", name=author["name"])
        for number, author in enumerate(citation["authors"], 1)
    ]
    crate.root_dataset["version"] = str(citation["version"])
    crate.root_dataset["datePublished"] = max(job.document.run["ended"] for job in own)
    crate.root_dataset["conformsTo"] = [
        entities.add(id, "CreativeWork", name=name, version=id.rpartition("/")[2])
        for id, name in PROFILES.items()
    ]


def _workflow(entities: Entities, own: Sequence[Job]) -> Entity:
    """The main entity, based on the archive of the project. Its version is the commits of the jobs."""
    crate = entities.crate
    place, digest = WORKFLOW.removeprefix("results/"), sha256_file(entities.root / WORKFLOW)
    workflow = crate.add_workflow(
        entities.root / WORKFLOW,
        place,
        main=True,
        lang="snakemake",
        lang_version=_versions(own, "snakemake"),
        properties={
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "conformsTo": {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"},
            "name": "Snakefile",
            "encodingFormat": "text/plain",
            "sha256": digest,
            "version": ", ".join(sorted({_commit(job) for job in own})),
        },
    )
    workflow["isBasedOn"] = entities.file(SOURCE, sha256_file(entities.root / SOURCE))
    return workflow


def _commit(job: Job) -> str:
    git = job.document.run["git"]
    return "no commit" if git is None else git["commit"] + " with changes" * git["dirty"]


def _versions(jobs: Sequence[Job], package: str) -> str:
    """The versions of a package that the jobs saw."""
    found = {job.document.run["versions"].get(package) for job in jobs}
    return ", ".join(sorted(filter(None, found))) or "unknown"


def _id(job: Job) -> str:
    return job.document.path.removeprefix("results/").removesuffix(SUFFIX)


def _tool(entities: Entities, job: Job) -> Entity:
    """The rule of a job: its code, its locks, and the software that the job saw."""
    document = job.document
    identity = document.identity
    rule = "/".join(filter(None, (document.bundle, identity["rule"])))
    parts = {**identity["code"], **identity["environment"]}
    software = [entities.software(name, version) for name, version in document.run["versions"].items()]
    return entities.add(
        f"#rule/{rule}",
        "SoftwareApplication",
        name=f"rule {rule}",
        description=" ".join(identity["command"][:2]),
        softwareVersion=sha256(canonical_json(parts).encode()).hexdigest()[:12],
        hasPart=[entities.code(path, digest) for path, digest in parts.items()],
        softwareRequirements=software,
    )


def _action(entities: Entities, job: Job) -> Entity:
    """One job: its command, files, parameters and results; when, where and at what cost it ran."""
    document, id = job.document, f"#job/{_id(job)}"
    run, tool = document.run, _tool(entities, job)
    inputs = [entities.file(path, digest) for path, digest in document.inputs.items()]
    outputs = [entities.file(path, digest) for path, digest in document.outputs.items()]
    record = entities.file(document.path, sha256_file(entities.root / document.path))
    used = [
        entities.value(f"{id}/used/{name}", name, run[name], propertyID=name, unitCode=unit)
        for name, unit in _UNITS.items()
    ]
    cluster = [entities.value(f"{id}/cluster/{name}", name, value) for name, value in run["cluster"].items()]
    return entities.add(
        id,
        "CreateAction",
        name=job.name,
        description=" ".join(document.identity["command"]),
        instrument=tool,
        object=[*inputs, *_parameters(entities, tool, id, document.identity["params"])],
        result=outputs,
        startTime=run["started"],
        endTime=run["ended"],
        actionStatus=_COMPLETED,
        location=entities.machine(document),
        resourceUsage=used,
        subjectOf=record,
        **({"environment": cluster} if cluster else {}),
    )


def _parameters(entities: Entities, tool: Entity, job: str, params: Mapping[str, Any]) -> list[Entity]:
    """The values of a job's command line, each given through a formal parameter of its tool."""
    values = []
    for name, value in params.items():
        slot = entities.slot(tool, f"{tool.id}/{name}", name, value)
        values.append(entities.fill(slot, entities.value(f"{job}/{name}", name, value)))
    return values


def _run(
    entities: Entities,
    workflow: Entity,
    own: Sequence[Job],
    report: Sequence[str],
    settings: Mapping[str, Any],
) -> Entity:
    """The whole run as one action, from the settings and the given files to the report."""
    values = []
    for key, value in schema.flat(settings).items():
        slot = entities.slot(workflow, f"#setting/{key}", key, value)
        values.append(entities.fill(slot, entities.value(f"#run/{key}", key, value)))
    made = {path for job in own for path in job.document.outputs}
    given = {
        path: digest
        for job in own
        for path, digest in job.document.inputs.items()
        if path not in made and not path.startswith("results/")
    }
    outputs = {path: digest for job in own for path, digest in job.document.outputs.items() if path in report}
    return entities.add(
        "#run",
        "CreateAction",
        name="The run",
        description="From the data to the report; its jobs are the actions that #engine scheduled",
        instrument=workflow,
        object=[*(entities.file(path, digest) for path, digest in given.items()), *values],
        result=[entities.file(path, digest) for path, digest in outputs.items()],
        startTime=min(job.document.run["started"] for job in own),
        endTime=max(job.document.run["ended"] for job in own),
        actionStatus=_COMPLETED,
    )


def _scheduling(
    entities: Entities,
    own: Sequence[Job],
    actions: Mapping[str, Entity],
    steps: Mapping[str, Entity],
    run: Entity,
) -> Entity:
    """Snakemake's part: the step of the workflow that each job was."""
    engine = entities.software("snakemake", _versions(own, "snakemake"))
    engine["url"] = "https://snakemake.readthedocs.io"
    controls = [
        entities.add(
            f"#control/{_id(job)}",
            "ControlAction",
            name=f"Scheduling of {job.name}",
            instrument=steps[job.document.identity["rule"]],
            object=actions[job.anchor],
        )
        for job in own
    ]
    return entities.add(
        "#engine",
        "OrganizeAction",
        name="Snakemake's scheduling of the run",
        instrument=engine,
        object=controls,
        result=run,
    )
