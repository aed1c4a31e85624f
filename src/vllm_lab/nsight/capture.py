"""One run under Nsight Systems: nsys is found and run around a program, its report imported and exported.

A script makes a `Program` of itself. Called by a rule, the script starts nsys around a second process of
itself. That process replays the requests twice: once to warm up, then inside the range that nsys captures.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vllm_lab.common import console
from vllm_lab.common.errors import LabError, Unavailable
from vllm_lab.common.files import atomic_path, read_json, write_json, write_text
from vllm_lab.common.flags import add_device, add_paths, parser_of
from vllm_lab.measure.document import now_and_here
from vllm_lab.replay.flags import add_run, files_of, limits_from

INSTALL = (
    "nsys is not installed: `apt-get install nsight-systems` (Debian: contrib and non-free; Ubuntu: "
    "multiverse), or NVIDIA's own package (developer.nvidia.com/nsight-systems)"
)
DOMAIN, CAPTURED = "vllm_lab", "capture"  # the range that nsys records; the start and the warm-up are outside
PROFILED = "--profiled"  # the first word of a program's command line when nsys watches it


def capturing() -> Any:
    """The range that nsys captures, as a context manager."""
    import nvtx  # only where a run is captured

    return nvtx.annotate(CAPTURED, domain=DOMAIN)


@dataclass(frozen=True)
class Program:
    """A script that captures one run of itself."""

    file: str  # the script's path
    description: str  # of its command line
    add_flags: Callable[[argparse.ArgumentParser], None]  # --engine, or a default for it, and its own
    run: Callable[[argparse.Namespace], None]  # the run, twice; it writes the run's files

    def main(self, argv: Sequence[str] | None = None) -> None:
        """Capture the run that the command line describes, or be the run, if nsys started this process."""
        words = sys.argv[1:] if argv is None else list(argv)
        if words[:1] == [PROFILED]:
            self._run(words[1:])
        else:
            self._capture(words)

    def _run(self, words: Sequence[str]) -> None:
        arguments = self._parser().parse_args(words)
        try:
            self.run(arguments)
        except Unavailable as error:
            console.log(f"not run: {error}")
            files_of(arguments).write_not_run(arguments.engine, limits_from(arguments), str(error))

    def _capture(self, words: Sequence[str]) -> None:
        """Capture, and say in a document what was captured; where nothing was, the same files and why."""
        own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        add_paths(own, report=".nsys-rep to write", sqlite="its export to write", capture="JSON to write")
        arguments = self._parser(own).parse_args(words)
        _, of_the_run = own.parse_known_args(words)

        cuda = arguments.device == "cuda"
        found = {"engine": arguments.engine, "device": arguments.device, **now_and_here()}
        found |= {"status": "measured", "reason": None}
        Path(arguments.record).unlink(missing_ok=True)
        try:
            nsys = Nsys.find()
            found |= {"nsys": nsys.version, "options": nsys.options(cuda)}
            command = [sys.executable, self.file, PROFILED, *of_the_run]
            nsys.capture(command, arguments.report, arguments.sqlite, cuda)
        except LabError as error:
            reason = _reason(arguments, error)
            console.log(f"not run: {reason}")
            found |= {"status": "not_run", "reason": reason}
            for file in (arguments.report, arguments.sqlite):  # SQLite reads an empty file as no tables
                write_text(file, "")
        sizes = {f"{name}_bytes": getattr(arguments, name).stat().st_size for name in ("report", "sqlite")}
        write_json(arguments.capture, found | sizes)

    def _parser(self, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        parser = parser_of(self.description, parents=parents)
        add_device(parser)
        self.add_flags(parser)
        add_run(parser)
        return parser


def _reason(arguments: argparse.Namespace, error: LabError) -> str:
    """Why there is no capture: the run's own reason, if it has one, else nsys'.

    Raises `error` where the run itself failed. Where no run was started, writes the run's files.
    """
    if not Path(arguments.record).exists():
        if not isinstance(error, Unavailable):
            raise error
        files_of(arguments).write_not_run(arguments.engine, limits_from(arguments), str(error))
    return read_json(arguments.record).get("reason") or str(error)


@dataclass(frozen=True)
class Nsys:
    """An installed nsys, NVIDIA's command line profiler."""

    program: Path
    version: str

    @classmethod
    def find(cls) -> Nsys:
        """The one on the path. Unavailable, with how to install it, where there is none."""
        found = shutil.which("nsys")
        if found is None:
            raise Unavailable(INSTALL)
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"\d{4}(\.\d+)+", said)
        if version is None:
            raise Unavailable(f"{found} --version names no version of Nsight Systems")
        return cls(Path(found), version[0])

    def options(self, cuda: bool) -> list[str]:
        """Options of `nsys profile` that keep a report of some seconds small. `cuda`: trace CUDA as well."""
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
                raise LabError(f"nsys {self.version} ended with status {done.returncode}; see the log")
            imported, exported = self._report(stem), stem.with_suffix(".sqlite")
            _call([str(self.program), "export", "--type=sqlite", f"--output={exported}", str(imported)])
            for made, target in ((imported, report), (exported, sqlite)):
                with atomic_path(target) as partial:
                    made.replace(partial)

    def _report(self, stem: Path) -> Path:
        """The report, imported by hand where nsys did not find its importer (as Debian's does not)."""
        whole, raw = stem.with_suffix(".nsys-rep"), stem.with_suffix(".qdstrm")
        if not whole.exists():
            if not raw.exists():
                raise Unavailable(f"nsys {self.version} captured nothing; see the log")
            _call([str(self._importer()), "-i", str(raw), "-o", str(whole)])
        return whole

    def _importer(self) -> Path:
        """QdstrmImporter of this installation: next to nsys, or in the host folder of the same tree."""
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
