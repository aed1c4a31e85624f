"""Results with all that they were made from in one file, which is checked wherever it lies.

An archive is the folder results/ packed, as far as the research object's description reaches: an RO-Crate
that its readers open. The project's own files lie in it as project/source.zip, so that code and locks are
checked too.
"""

import tempfile
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_zip
from vllm_lab.provenance.documents import collect
from vllm_lab.provenance.upstream import upstream
from vllm_lab.provenance.verify import Finding, load, require, verify

DESCRIPTION = "results/ro-crate-metadata.json"
SOURCE = "results/provenance/source.zip"


def pack(root: Path, output: Path) -> list[str]:
    """Pack the description and all that it is made from; the packed paths, sorted.

    Raises LabError with every finding when something of it does not verify.
    """
    require(root, [DESCRIPTION], "nothing is packed")
    jobs = upstream([DESCRIPTION], collect(root)).documents
    paths = sorted({path for job in jobs for path in (job.path, *job.outputs)})
    write_zip(output, {path.removeprefix("results/"): root / path for path in paths})
    return paths


def check(archive: Path) -> tuple[list[Finding], list[str]]:
    """What does not fit in an archive, and the inputs that were given from outside the project.

    The latter were not packed and are known by their hash alone; what lies at their paths here counts for
    nothing.
    """
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        _unpack(archive, root)
        findings = verify(root)
        read = {path for job in load(root, "results")[0] for path in job.inputs}
        outside = sorted(path for path in read if not path.startswith("results/") and not _within(root, path))
    return [finding for finding in findings if finding.path not in outside], outside


def _within(root: Path, path: str) -> bool:
    place = (root / path).resolve()
    return place.is_relative_to(root) and place.is_file()


def _unpack(archive: Path, root: Path) -> None:
    try:
        with ZipFile(archive) as packed:
            packed.extractall(root / "results")
        with ZipFile(root / SOURCE) as source:
            source.extractall(root)
    except (OSError, BadZipFile) as error:
        raise LabError(
            f"{archive}: not an archive of results: {error}; make one: snakemake archive"
        ) from error
