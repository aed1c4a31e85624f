"""Run one job and write its provenance document: the wrapper around the command of every rule.

The job runs in a fixed environment (time zone, locale, hash seed, thread counts), so that its outputs
depend on its inputs alone. A job that fails gets no document, so no result can have a false one.
"""

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from vllm_lab.common import host
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import sha256_file
from vllm_lab.provenance import schemas
from vllm_lab.provenance.documents import Document, identity_digest


@dataclass(frozen=True)
class Job:
    """One job of a rule. All paths are relative to the working directory, which is the project's root."""

    rule: str
    wildcards: dict[str, str]
    kind: str
    inputs: Sequence[str]
    code: Sequence[str]
    environment: Sequence[str]
    outputs: Sequence[str]
    document: str
    schemas: Sequence[str]  # each covers the outputs that it declares
    threads: int
    log: str
    command: Sequence[str]


def run(job: Job) -> int:
    """Run the job, write its document and return its exit status (128 + n if signal n ended it).

    LabError if the job succeeded and an output is missing or does not fit its schema, or if an input changed
    while the job ran.
    """
    host.die_with_parent(signal.SIGTERM)
    sources = (*job.inputs, *job.code, *job.environment)
    before = _hashes(sources)
    stamps = _stamps(sources)
    started, clock = datetime.now(UTC), time.monotonic()
    status = _execute(job)
    seconds = time.monotonic() - clock
    if status:
        return status
    changed = [path for path, stamp in _stamps(sources).items() if stamp != stamps[path]]
    if changed:
        raise LabError(f"{changed[0]}: changed while rule {job.rule} was reading it; run the rule again")
    outputs = _hashes(job.outputs, f"rule {job.rule} ended without writing it; see {job.log}")
    schemas.check_outputs(job.rule, job.outputs, job.schemas)
    params = command_params(job.command, {*sources, *job.outputs})
    identity = {
        "rule": job.rule,
        "wildcards": job.wildcards,
        "command": list(job.command),
        "params": params,
        "seed": int(params["seed"]) if "seed" in params else None,
        "kind": job.kind,
        "inputs": {path: before[path] for path in job.inputs},
        "code": {path: before[path] for path in job.code},
        "environment": {path: before[path] for path in job.environment},
        "outputs": outputs,
    }
    happened = {
        "started": started.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "exit": status,
        "threads": job.threads,
        "max_rss_mib": peak_mib(),
        "host": host.hardware(),
        "cluster": host.cluster(),
        "git": host.git_state(Path()),
        "versions": host.versions(),
    }
    Document(job.document, identity, identity_digest(identity), happened).write(Path())
    return status


def peak_mib() -> float:
    """The largest resident memory of an ended child process. Linux counts KiB, macOS bytes."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def command_params(command: Sequence[str], paths: Iterable[str]) -> dict[str, Any]:
    """The flags of a command line with their values, without those whose values are the job's own files."""
    files = set(paths)
    params: dict[str, Any] = {}
    flag = None
    for word in command:
        if word.startswith("--"):
            flag, _, value = word[2:].partition("=")
            params[flag] = [value] if value else params.get(flag, [])
        elif flag:
            params[flag].append(word)
    return {
        name: True if not values else values[0] if len(values) == 1 else values
        for name, values in params.items()
        if not values or not files.intersection(value.split("=", 1)[-1] for value in values)
    }


def _hashes(paths: Sequence[str], missing: str = "no such file") -> dict[str, str]:
    absent = [path for path in paths if not Path(path).is_file()]
    if absent:
        raise LabError(f"{absent[0]}: {missing}")
    return {path: sha256_file(path) for path in paths}


def _stamps(paths: Sequence[str]) -> dict[str, tuple[int, int]]:
    return {path: (stat.st_size, stat.st_mtime_ns) for path in paths for stat in [Path(path).stat()]}


def _execute(job: Job) -> int:
    """Run the command. Its output goes to the job's log and, unless VLLM_LAB_ECHO=no, to stderr."""
    python = [sys.executable, *job.command[1:]] if job.command[0] == "python" else list(job.command)
    Path(job.log).parent.mkdir(parents=True, exist_ok=True)
    with Path(job.log).open("w", encoding="utf-8") as log:
        print("$", shlex.join(job.command), file=log, flush=True)
        child = subprocess.Popen(
            python,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="backslashreplace",
            env=_environment(job),
            # A job does not outlive a killed workflow.
            preexec_fn=partial(host.die_with_parent, signal.SIGTERM),
        )
        previous = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        try:
            _copy_lines(child.stdout, log, label="/".join((job.rule, *job.wildcards.values())))
            code = child.wait()
        except BaseException:
            child.kill()
            raise
        finally:
            signal.signal(signal.SIGTERM, previous)
        status = 128 - code if code < 0 else code
        if status:
            reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            print(f"rule {job.rule} failed: {reason}", file=log)
    return status


def _copy_lines(source: TextIO, log: TextIO, label: str) -> None:
    """Copy to the log and to stderr, without empty lines. The carriage returns of progress bars end lines."""
    echo = os.environ.get("VLLM_LAB_ECHO") != "no"
    for line in source:
        if text := line.rstrip("\n"):
            print(text, file=log, flush=True)
            if echo:
                print(f"[{label}] {text}", file=sys.stderr)


def _environment(job: Job) -> dict[str, str]:
    threads = str(job.threads)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, ["src", os.environ.get("PYTHONPATH")])),
        "PYTHONHASHSEED": "0",
        "PYTHONSAFEPATH": "1",  # scripts/ is not searched for modules, whose names scripts might have
        "PYTHONUNBUFFERED": "1",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "VLLM_LAB_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "RAYON_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "true",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
