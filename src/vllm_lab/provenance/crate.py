"""A finished run as a Provenance Run Crate 0.5, made from its provenance documents.

The workflow is the crate's main entity. Its rules are tools and steps, and its jobs are actions on files and
parameters. Jobs of merged bundles are actions too, but they are not a part of this run. The profile names
those that it builds on: https://w3id.org/ro/wfrun/provenance/0.5

The crate's root is results/, and the id of a file in it is its path below results/. All other ids begin with
a #. Each entity is made once and found again by its id.
"""

import mimetypes
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity, Entity, File
from rocrate.rocrate import ROCrate

from vllm_lab.common.files import canonical_json, flat, sha256_file
from vllm_lab.common.host import machine
from vllm_lab.provenance.documents import SUFFIX, Document
from vllm_lab.provenance.packing import SOURCE
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
_TYPES = {".parquet": "application/vnd.apache.parquet", ".jsonl": "application/jsonl", ".md": "text/markdown",
          ".safetensors": "application/octet-stream", ".jinja": "text/plain"}  # fmt: skip
_KINDS = {bool: "Boolean", int: "Integer", float: "Float"}


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
    run = _Run(root, jobs, source)
    run.describe_root(citation)
    workflow = run.workflow()
    actions = {job.anchor: run.action(job) for job in jobs}
    tools = {job.document.identity["rule"]: actions[job.anchor]["instrument"] for job in run.own}
    steps = {
        rule: run.add(f"#step/{rule}", "HowToStep", name=rule, position=str(number), workExample=tool)
        for number, (rule, tool) in enumerate(tools.items(), 1)
    }
    workflow["hasPart"] = list(tools.values())
    workflow["step"] = list(steps.values())
    whole = run.whole(workflow, report, settings)
    scheduling = run.scheduling(actions, steps, whole)
    run.crate.root_dataset["mentions"] = [scheduling, whole, *actions.values()]
    described = run.crate.metadata.generate()
    return {**described, "@graph": [_compact(entity) for entity in described["@graph"]]}


def _compact(entity: Mapping[str, Any]) -> dict[str, Any]:
    """The entity, with each list of one value replaced by the value, as the profiles want it."""
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in entity.items()
    }


class _Run:
    """A run's crate in the making."""

    def __init__(self, root: Path, jobs: Sequence[Job], source: Mapping[str, str]) -> None:
        self.root = root
        self.own = [job for job in jobs if not job.document.bundle]
        self.source = source
        self.crate = ROCrate(version=VERSION)
        self.crate.metadata.extra_contexts.append(TERMS)

    def describe_root(self, citation: Mapping[str, Any]) -> None:
        """Title, authors, licence and version; the profiles that the crate conforms to."""
        crate, dataset, licence = self.crate, self.crate.root_dataset, citation["license"]
        crate.name, crate.description = citation["title"], citation["abstract"].strip()
        crate.license = self.add(f"https://spdx.org/licenses/{licence}", "CreativeWork", name=licence)
        dataset["author"] = [
            self.add(f"#author/{number}", "Organization", name=author["name"])
            for number, author in enumerate(citation["authors"], 1)
        ]
        dataset["version"] = str(citation["version"])
        dataset["datePublished"] = max(job.document.run["ended"] for job in self.own)
        dataset["conformsTo"] = [
            self.add(id, "CreativeWork", name=name, version=id.rpartition("/")[2])
            for id, name in PROFILES.items()
        ]

    def workflow(self) -> Entity:
        """The main entity, based on the archive of the project. Its version is the commits of the jobs."""
        workflow = self.crate.add_workflow(
            self.root / WORKFLOW,
            WORKFLOW.removeprefix("results/"),
            main=True,
            lang="snakemake",
            lang_version=self._version_of_snakemake(),
            properties={
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
                "conformsTo": {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"},
                "name": "Snakefile",
                "encodingFormat": "text/plain",
                "sha256": sha256_file(self.root / WORKFLOW),
                "version": ", ".join(sorted({_commit(job) for job in self.own})),
            },
        )
        workflow["isBasedOn"] = self.file(SOURCE, sha256_file(self.root / SOURCE))
        return workflow

    def action(self, job: Job) -> Entity:
        """One job: its command, files, parameters and results; when, where and at what cost it ran."""
        document, id = job.document, f"#job/{_id(job)}"
        run, tool = document.run, self._tool(document)
        inputs, outputs = self.files(document.inputs), self.files(document.outputs)
        record = self.file(document.path, sha256_file(self.root / document.path))
        used = [
            self.value(f"{id}/used/{name}", name, run[name], propertyID=name, unitCode=unit)
            for name, unit in _UNITS.items()
        ]
        cluster = self._values(f"{id}/cluster", run["cluster"])
        return self.add(
            id,
            "CreateAction",
            name=job.name,
            description=" ".join(document.identity["command"]),
            instrument=tool,
            object=[*inputs, *self._parameters(tool, tool.id, id, document.identity["params"])],
            result=outputs,
            startTime=run["started"],
            endTime=run["ended"],
            actionStatus=_COMPLETED,
            location=self._machine(run["host"]),
            resourceUsage=used,
            subjectOf=record,
            **({"environment": cluster} if cluster else {}),
        )

    def whole(self, workflow: Entity, report: Sequence[str], settings: Mapping[str, Any]) -> Entity:
        """The whole run as one action, from the settings and the given files to the report."""
        values = self._parameters(workflow, "#setting", "#run", flat(settings))
        read, made = {}, {}
        for job in self.own:
            read |= job.document.inputs
            made |= job.document.outputs
        given = {path: read[path] for path in read if path not in made and not path.startswith("results/")}
        return self.add(
            "#run",
            "CreateAction",
            name="The run",
            description="From the data to the report; its jobs are the actions that #engine scheduled",
            instrument=workflow,
            object=[*self.files(given), *values],
            result=self.files({path: digest for path, digest in made.items() if path in report}),
            startTime=min(job.document.run["started"] for job in self.own),
            endTime=max(job.document.run["ended"] for job in self.own),
            actionStatus=_COMPLETED,
        )

    def scheduling(self, actions: Mapping[str, Entity], steps: Mapping[str, Entity], whole: Entity) -> Entity:
        """Snakemake's part: the step of the workflow that each job was."""
        engine = self._software("snakemake", self._version_of_snakemake())
        engine["url"] = "https://snakemake.readthedocs.io"
        controls = [
            self.add(
                f"#control/{_id(job)}",
                "ControlAction",
                name=f"Scheduling of {job.name}",
                instrument=steps[job.document.identity["rule"]],
                object=actions[job.anchor],
            )
            for job in self.own
        ]
        name = "Snakemake's scheduling of the run"
        return self.add(
            "#engine", "OrganizeAction", name=name, instrument=engine, object=controls, result=whole
        )

    def add(self, id: str, type: str, **properties: Any) -> Entity:
        """The contextual entity of that id, made from the properties when it does not exist yet."""
        known = self.crate.get(id)
        return known or self.crate.add(ContextEntity(self.crate, id, {"@type": type, **properties}))

    def files(self, hashes: Mapping[str, str]) -> list[Entity]:
        """The files of a mapping path -> sha256."""
        return [self.file(path, digest) for path, digest in hashes.items()]

    def file(self, path: str, digest: str) -> Entity:
        """A file that a job read or wrote. Below results/ it is part of the crate, else it is only named."""
        if path in self.source:
            return self._code(path, digest)
        if not path.startswith("results/"):
            return self.add(f"#given/{path}", "CreativeWork", name=path, sha256=digest)
        place, here = path.removeprefix("results/"), self.root / path
        kind = _TYPES.get(here.suffix) or mimetypes.guess_type(place)[0] or "text/plain"
        size = str(here.stat().st_size)
        known = {"name": place, "sha256": digest, "contentSize": size, "encodingFormat": kind}
        return self.crate.get(place) or self.crate.add(File(self.crate, here, place, properties=known))

    def value(self, id: str, name: str, value: Any, **properties: Any) -> Entity:
        """A named value. Lists and mappings become JSON text."""
        plain = value if isinstance(value, str | bool | int | float) else canonical_json(value)
        return self.add(id, "PropertyValue", name=name, value=plain, **properties)

    def _values(self, place: str, values: Mapping[str, Any]) -> list[Entity]:
        """Named values with ids below `place`."""
        return [self.value(f"{place}/{name}", name, value) for name, value in values.items()]

    def _parameters(self, tool: Entity, slots: str, user: str, values: Mapping[str, Any]) -> list[Entity]:
        """What the job (or run) `user` gave a tool (or workflow), each value through a formal parameter.

        The parameters have ids below `slots`, the values below `user`.
        """
        given = []
        for name, value in values.items():
            id = f"{slots}/{name}"
            if id not in self.crate:
                kind = _KINDS.get(type(value), "Text")
                tool.append_to("input", self.crate.add_formal_parameter(name, kind, identifier=id))
            entity = self.value(f"{user}/{name}", name, value)
            entity["exampleOfWork"] = self.crate.get(id)
            self.crate.get(id).append_to("workExample", entity)
            given.append(entity)
        return given

    def _tool(self, document: Document) -> Entity:
        """The rule of a job: its code, its locks, and the software that the job saw."""
        identity = document.identity
        rule = "/".join(filter(None, (document.bundle, identity["rule"])))
        parts = {**identity["code"], **identity["environment"]}
        software = [self._software(name, version) for name, version in document.run["versions"].items()]
        return self.add(
            f"#rule/{rule}",
            "SoftwareApplication",
            name=f"rule {rule}",
            description=" ".join(identity["command"][:2]),
            softwareVersion=_digest(parts),
            hasPart=[self._code(path, digest) for path, digest in parts.items()],
            softwareRequirements=software,
        )

    def _code(self, path: str, digest: str) -> Entity:
        """A file of the project itself, by path and content. Most are in the crate's source archive."""
        known = {"name": path, "sha256": digest, "version": digest[:12]}
        if self.source.get(path) == digest:
            known["isPartOf"] = {"@id": SOURCE.removeprefix("results/")}
        return self.add(f"#source/{path}@{digest[:12]}", "SoftwareSourceCode", **known)

    def _software(self, name: str, version: str) -> Entity:
        id = f"#software/{name}-{version}"
        return self.add(id, "SoftwareApplication", name=name, softwareVersion=version)

    def _version_of_snakemake(self) -> str:
        found = {job.document.run["versions"].get("snakemake") for job in self.own}
        return ", ".join(sorted(filter(None, found))) or "unknown"

    def _machine(self, host: Mapping[str, Any]) -> Entity:
        """The machine that a job ran on, with all facts of its document."""
        id = f"#machine/{_digest(host)}"
        facts = self._values(id, host)
        return self.add(id, "Place", name=host["name"], description=machine(host), additionalProperty=facts)


def _id(job: Job) -> str:
    return job.document.path.removeprefix("results/").removesuffix(SUFFIX)


def _digest(value: Any) -> str:
    return sha256(canonical_json(value).encode()).hexdigest()[:12]


def _commit(job: Job) -> str:
    git = job.document.run["git"]
    return "no commit" if git is None else git["commit"] + " with changes" * git["dirty"]
