"""Results and all that they were made from, in one file that can be checked anywhere.

An archive is a zip file of the files in results/ that the research object describes, and an RO-Crate itself.
It contains the project's code, locks and configuration as provenance/source.zip, so that they can be checked.
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

    Raises LabError with every finding when a packed file does not verify.
    """
    require(root, [DESCRIPTION], "nothing is packed")
    jobs = upstream([DESCRIPTION], collect(root)).documents
    paths = sorted({path for job in jobs for path in (job.path, *job.outputs)})
    write_zip(output, {path.removeprefix("results/"): root / path for path in paths})
    return paths


def check(archive: Path) -> tuple[list[Finding], list[str]]:
    """The findings in an archive, and the inputs that were given from outside the project.

    Those inputs were not packed, so only their hashes are known. Files at their paths here do not count.
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
            f"{archive}: not an archive of results: {error}; make one: snakemake --cores 1 archive"
        ) from error
