"""A real Slurm on this machine alone: one node, on loopback, in a folder of its own, as the present user.

The node claims more than it has, also a GPU, so that the tests can check which job requests what.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
PACKAGES = "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
PATH = os.pathsep.join([*os.get_exec_path(), "/usr/sbin"])
NODE = socket.gethostname().split(".")[0]

SLURM_CONF = """\
ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
GresTypes=gpu
NodeName={node} NodeAddr=127.0.0.1 CPUs=64 RealMemory=250000 Gres=gpu:h100:1
PartitionName=cpu Nodes={node} Default=YES MaxTime=INFINITE
PartitionName=gpu Nodes={node} MaxTime=INFINITE
"""
GRES_CONF = """\
AutoDetect=off
NodeName={node} Name=gpu Type=h100 File=/dev/null
"""
# The plugin starts srun without the variable that says where the configuration is.
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


@dataclass(frozen=True)
class Slurm:
    """A running Slurm. `environment` is what its commands need in addition to the present one."""

    folder: Path
    environment: dict[str, str]

    def ask(self, *command: str) -> str:
        """What a command of Slurm's prints."""
        return subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=True
        ).stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """Job id -> what Slurm knows of the job, of all jobs there were."""
        lines = self.ask("scontrol", "--oneliner", "show", "job").splitlines()
        known = [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in lines
            if line.startswith("JobId=")
        ]
        return {job["JobId"]: job for job in known}

    def logs(self) -> str:
        """What the daemons said."""
        return "\n".join(f"{log.name}:\n{log.read_text()}" for log in sorted(self.folder.glob("*.log")))


def missing() -> str | None:
    """What Slurm lacks here, and the way out; None if it can be started."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    return f"{', '.join(absent)}: not installed; {PACKAGES}" if absent else None


@contextmanager
def single_node() -> Iterator[Slurm]:
    """Start Slurm; on leaving, cancel its jobs, stop its daemons and remove its folder."""
    with tempfile.TemporaryDirectory(prefix="slurm") as name, ExitStack() as daemons:
        folder = Path(name)
        _configure(folder)
        slurm = Slurm(
            folder,
            {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": os.pathsep.join([f"{folder}/bin", PATH])},
        )
        key, sock = folder / "munge.key", folder / "munge.socket"
        files = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("pid", "log", "seed")]
        daemons.enter_context(
            _daemon(
                slurm, "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={sock}", *files
            )
        )
        _wait(slurm, "munged", sock.exists)
        daemons.enter_context(_daemon(slurm, "slurmctld", "-D", "-i"))
        daemons.enter_context(_daemon(slurm, "slurmd", "-D"))
        _wait(slurm, "the node", lambda: _state(slurm) == "idle")
        try:
            yield slurm
        finally:
            slurm.ask("scancel", "--user", getpass.getuser())
            _wait(slurm, "the end of the jobs", lambda: not slurm.ask("squeue", "--noheader"))


def _configure(folder: Path) -> None:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, two)]
    values = {"folder": folder, "node": NODE, "ports": ports, "srun": shutil.which("srun", path=PATH),
              "user": getpass.getuser()}  # fmt: skip
    (folder / "bin").mkdir()
    for name, text in {"slurm.conf": SLURM_CONF, "gres.conf": GRES_CONF, "bin/srun": SRUN}.items():
        (folder / name).write_text(text.format(**values))
    (folder / "bin/srun").chmod(0o755)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)


@contextmanager
def _daemon(slurm: Slurm, *command: str) -> Iterator[None]:
    """A daemon in the foreground, as our child; what it says goes to a log in the folder."""
    with (slurm.folder / f"{command[0]}.log").open("wb") as log:
        child = subprocess.Popen(
            [shutil.which(command[0], path=PATH), *command[1:]],
            env={**os.environ, **slurm.environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            child.terminate()
            child.wait(20)


def _state(slurm: Slurm) -> str:
    """The node's state; empty while Slurm does not answer."""
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%T", "--partition=cpu"],
        env={**os.environ, **slurm.environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def _wait(slurm: Slurm, what: str, ready, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not after {seconds:.0f} s\n{slurm.logs()}")
        time.sleep(0.1)
