"""nsys, NVIDIA's command line profiler: found, run around a command, its report made whole and exported."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from vllm_lab.common.errors import LabError, Unavailable
from vllm_lab.common.files import atomic_path
from vllm_lab.engines.annotations import DOMAIN

INSTALL = (
    "nsys is not installed: `apt-get install nsight-systems` (Debian: non-free, Ubuntu: multiverse), or "
    "NVIDIA's own package (developer.nvidia.com/nsight-systems)"
)
CAPTURED = "capture"  # the range that nsys records: no start of an engine, no warm-up


@dataclass(frozen=True)
class Nsys:
    """An installed nsys."""

    program: Path
    version: str

    @classmethod
    def find(cls) -> Nsys:
        """The one on the path. Unavailable, with how to install it, where there is none."""
        found = shutil.which("nsys")
        if found is None:
            raise Unavailable(INSTALL)
        told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"\d{4}(\.\d+)+", told)
        if version is None:
            raise Unavailable(f"{found} --version names no version of Nsight Systems")
        return cls(Path(found), version[0])

    def options(self, cuda: bool) -> list[str]:
        """Of `nsys profile`: what keeps a report of some seconds small; `cuda`: trace that as well."""
        return [
            f"--trace={'cuda,' if cuda else ''}nvtx,osrt",
            *(["--cuda-graph-trace=node"] if cuda else []),  # so that the kernels inside a graph are seen
            "--sample=none",
            "--cpuctxsw=none",
            "--capture-range=nvtx",
            f"--nvtx-capture={CAPTURED}@{DOMAIN}",
            "--capture-range-end=stop",
            "--env-var=MINI_VLLM_NVTX=1",
            "--wait=primary",
        ]

    def capture(self, command: Sequence[str], report: Path, sqlite: Path, cuda: bool) -> None:
        """Run `command` under nsys; write its report and the report's SQLite export.

        LabError where the command or nsys fails, Unavailable where nsys left no report.
        """
        report.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".nsys-", dir=report.parent) as folder:
            stem = Path(folder) / "capture"
            done = subprocess.run(
                [str(self.program), "profile", *self.options(cuda), f"--output={stem}", *command], check=False
            )
            if done.returncode:
                raise LabError(
                    f"nsys {self.version} ended with status {done.returncode}; the log has its words"
                )
            whole = self._report(stem)
            exported = stem.with_suffix(".sqlite")
            _call([str(self.program), "export", "--type=sqlite", f"--output={exported}", str(whole)])
            for made, target in ((whole, report), (exported, sqlite)):
                with atomic_path(target) as partial:
                    made.replace(partial)

    def _report(self, stem: Path) -> Path:
        """The report, imported by hand where nsys did not find its importer (as Debian's does not)."""
        whole, raw = stem.with_suffix(".nsys-rep"), stem.with_suffix(".qdstrm")
        if not whole.exists():
            if not raw.exists():
                raise Unavailable(f"nsys {self.version} captured nothing; its words stand in the log")
            _call([str(self._importer()), "-i", str(raw), "-o", str(whole)])
        return whole

    def _importer(self) -> Path:
        """QdstrmImporter of this very installation: beside nsys or in the host folder of the same tree."""
        program = self.program.resolve()
        trees = [*program.parents[1:4], Path("/usr/lib/nsight-systems")]
        found = [path for tree in trees for path in sorted(tree.glob("host-linux*/QdstrmImporter"))]
        if not found:
            raise Unavailable(
                f"nsys {self.version} did not find its importer, and there is no host-linux*/QdstrmImporter "
                f"near {program}; install the host part of Nsight Systems"
            )
        return found[0]


def _call(command: list[str]) -> None:
    """Run a tool of Nsight Systems; Unavailable, with its last line, where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise Unavailable(f"{Path(command[0]).name} failed: {said[-1].strip() if said else 'no word'}")
