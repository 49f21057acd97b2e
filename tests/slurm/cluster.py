# SPDX-License-Identifier: MIT
"""A real SLURM cluster in a folder: munged, slurmctld and three slurmd, as the present user.

Two of the nodes have two GPUs each, that is to say, files with their names: jobs are given
CUDA_VISIBLE_DEVICES and find no GPU. Nothing outside the folder is touched.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import psutil

NODES = {"cpu1": 0, "gpu1": 2, "gpu2": 2}
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr")
PACKAGES = "slurm-wlm and munge, which `make test-slurm` installs"
_PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"

_SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
AuthType=auth/munge
CredType=cred/munge
# A job that is queued again starts only when its old credential has expired.
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/%n
MailProg=/bin/true
MpiDefault=none
# No cgroups and no systemd: jobs are found by their process tree, memory is polled.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
PropagateResourceLimits=NONE
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
# squeue is to show jobs that have ended for as long as a test lasts.
MinJobAge=900
KillWait=5
SlurmdTimeout=6
# Nodes may claim more cores and memory than the machine has.
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
GresTypes=gpu
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=60
PartitionName=gpu Nodes=gpu1,gpu2 MaxTime=60
PartitionName=urgent Nodes=gpu1,gpu2 MaxTime=60 PriorityTier=10 PreemptMode=OFF
"""


class Cluster:
    """A cluster that lives as long as a with block.

    Parameters
    ----------
    folder : Path
        Short, since sockets lie in it, and empty.

    Attributes
    ----------
    environment : dict of str to str
        With what commands and Snakemake are to be run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            # Each job starts Python three times; compiling Snakemake anew would triple that.
            **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            "PATH": f"{folder / 'bin'}:{_PATH}",
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }
        self._daemons: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> Self:
        """Start it, and wait until all nodes are idle."""
        try:
            self._write_files()
            self._start("munged", "--foreground", *self._munge_options())
            self._wait(lambda: (self.folder / "munge" / "socket").exists(), "munged")
            self._start("slurmctld", "-D", "-c")
            for node in NODES:
                self.start_node(node)
            self._wait(self._is_idle, "the nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End all jobs, then all daemons."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self.ask("scancel", "--full", "--user", self._user())
            end = time.monotonic() + 15
            while self.ask("squeue", "--noheader") and time.monotonic() < end:
                time.sleep(0.2)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in reversed(self._daemons.values()):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    @staticmethod
    def _user() -> str:
        return pwd.getpwuid(os.getuid()).pw_name

    def _munge_options(self) -> list[str]:
        munge = self.folder / "munge"
        options = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        return [
            *(f"--{option}={munge / name}" for option, name in options.items()),
            f"--log-file={self.folder / 'log' / 'munged'}",
        ]

    def _write_files(self) -> None:
        # munged refuses a folder that others may write to, or cannot search.
        os.umask(0o022)
        self.folder.chmod(0o755)
        for name in ("munge", "state", "spool", "log", "dev", "bin"):
            (self.folder / name).mkdir()
        key = self.folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        port, *ports = free_ports(1 + len(NODES))
        host = socket.gethostname().partition(".")[0]
        lines = [
            _SLURM_CONF.format(folder=self.folder, host=host, user=self._user(), port=port).strip()
        ]
        gres = ["AutoDetect=off"]
        n_gpus = 0
        for (node, gpus), port in zip(NODES.items(), ports, strict=True):
            has = f" Gres=gpu:h200:{gpus}" if gpus else ""
            lines.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 "
                # The node of least weight is taken first.
                f"RealMemory=8000 Weight={list(NODES).index(node) + 1}{has}"
            )
            for _ in range(gpus):
                # A device's number is that of its name, and it has to be a character device.
                device = self.folder / "dev" / f"nvidia{n_gpus}"
                device.symlink_to("/dev/null")
                gres.append(f"NodeName={node} Name=gpu Type=h200 File={device}")
                n_gpus += 1
        # Partitions name nodes, which have to be known by then.
        partitions = [line for line in lines[0].splitlines() if line.startswith("Partition")]
        lines[0] = lines[0].replace("\n" + "\n".join(partitions), "")
        (self.folder / "slurm.conf").write_text("\n".join([*lines, *partitions]) + "\n")
        (self.folder / "gres.conf").write_text("\n".join(gres) + "\n")
        self._write_commands()

    def _write_commands(self) -> None:
        """Put commands on the path that know the cluster, and note what is submitted.

        By SLURM_CONF alone it would not be known inside of jobs: the executor deletes it there.
        """
        configuration = self.folder / "slurm.conf"
        for name in COMMANDS:
            path = self.folder / "bin" / name
            program = shutil.which(name, path=_PATH)
            if program is None:
                continue
            note = f'printf "%s\\n" "$*" >> {self.submissions}\n' if name == "sbatch" else ""
            path.write_text(f'#!/bin/sh\n{note}SLURM_CONF={configuration} exec {program} "$@"\n')
            path.chmod(0o755)

    @property
    def submissions(self) -> Path:
        """A file with the arguments of each call of sbatch, a line each."""
        return self.folder / "submissions.txt"

    def _start(self, program: str, *arguments: str) -> None:
        found = shutil.which(program, path=_PATH)
        if found is None:
            raise RuntimeError(f"there is no {program} here; it comes with {PACKAGES}")
        name = arguments[-1] if program == "slurmd" else program
        with (self.folder / "log" / f"{name}.printed").open("a") as printed:
            self._daemons[name] = subprocess.Popen(
                [found, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                env={**self.environment, "SLURM_CONF": str(self.folder / "slurm.conf")},
                start_new_session=True,
            )

    def _wait(self, ready, what: str) -> None:
        end = time.monotonic() + 60
        while not ready():
            dead = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > end:
                told = "".join(
                    f"\n== {path.name}\n{path.read_text()[-1500:]}"
                    for path in sorted((self.folder / "log").iterdir())
                )
                raise RuntimeError(f"{', '.join(dead) or what} did not come up{told}")
            time.sleep(0.1)

    def _is_idle(self) -> bool:
        told = self.ask("sinfo", "--noheader", "--Node", "--format=%N %T")
        return set(told.split("\n")) == {f"{node} idle" for node in NODES}

    def ask(self, *command: str) -> str:
        """Return what a command of SLURM prints, "" if it fails."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout.strip()

    def jobs(self) -> list[dict[str, str]]:
        """Return id, state, node and comment of all jobs, those that have ended too."""
        names = ("id", "state", "node", "comment")
        told = self.ask("squeue", "--states=all", "--noheader", "--format=%i|%T|%N|%k")
        return [dict(zip(names, line.split("|"), strict=True)) for line in told.splitlines()]

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        (self.folder / "spool" / node).mkdir(exist_ok=True)
        self._start("slurmd", "-D", "-c", "-N", node)

    def stop_node(self, node: str) -> None:
        """Stop a node as a power failure does: its daemon and all that runs there, at once."""
        ids = {job["id"] for job in self.jobs() if job["node"] == node}
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()
        for process in psutil.process_iter():
            # Their title is e.g. "slurmstepd: [12.batch]".
            with contextlib.suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if title.startswith("slurmstepd: [") and title[13:].partition(".")[0] in ids:
                    for child in [*process.children(recursive=True), process]:
                        with contextlib.suppress(psutil.Error):
                            child.kill()


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
