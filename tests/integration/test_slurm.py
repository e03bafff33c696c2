"""`penstock print slurm` in a real Slurm: one node, which is a namespace of this machine, as is the head."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.namespace_hosts import Host, Network, needs_hosts, up
from support.stations import until

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
PROGRAMS = [shutil.which(name, path=PATH) for name in ("munged", "slurmctld", "slurmd", "sbatch")]
pytestmark = [
    needs_hosts,
    pytest.mark.skipif(not all(PROGRAMS) and not os.environ.get("CI"), reason="no Slurm here"),
]

CONFIGURATION = """
ClusterName=test
SlurmctldHost=node
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName=node CPUs=2 RealMemory=200
PartitionName=all Nodes=node Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """On this host, in the foreground."""

    def __init__(self, network: Network, host: Host, folder: Path) -> None:
        self.host = host
        self.folder = folder
        folder.mkdir(mode=0o755)
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder))
        host.variables["SLURM_CONF"] = str(folder / "slurm.conf")
        host.variables["PATH"] = PATH
        host.must("mkdir", "-m", "755", "/run/munge")
        files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
        network.daemons.append(host.start(folder / "munged.log", "munged", "--foreground", *files))
        until(lambda: host.run("munge", "-n").returncode == 0)
        for daemon in ("slurmctld", "slurmd"):
            network.daemons.append(host.start(folder / f"{daemon}.log", daemon, "-D"))
        until(lambda: host.run("sinfo", "-h", "-o", "%t").stdout == b"idle\n", what="the node is idle")

    def sbatch(self, *options: str) -> str:
        """Print the script, submit it; the id of the array."""
        script = self.folder / "job.sh"
        printed = self.host.penstock("print", "slurm", *options)
        assert printed.returncode == 0, printed.stderr
        script.write_bytes(printed.stdout)
        return self.host.must("sbatch", "--parsable", f"--chdir={self.folder}", script).strip()

    def log(self, task: str) -> bytes:
        """What a worker said."""
        path = self.folder / f"penstock-{task}.log"
        return path.read_bytes() if path.exists() else b""

    def left(self) -> str:
        """What is queued or runs."""
        return self.host.must("squeue", "-h")


@pytest.fixture
def network(folder: Path) -> Iterator[Network]:
    """A head and a node."""
    made = Network(folder, "head", "node")
    try:
        yield made
    finally:
        made.close()


def test_an_array_of_workers(network: Network, folder: Path) -> None:
    """Sbatch: they join and run jobs. Scancel: that worker's jobs run elsewhere, none is lost. Nothing left to do: the
    other one leaves by itself. A wall time: the worker drains before that."""
    head, node = network["head"], network["node"]
    key = up(network, folder)
    slurm = Slurm(network, node, folder / "slurm")

    ran, go = folder / "ran", folder / "go"
    script = f"echo {{}} >> {ran}; while [ ! -e {go} ]; do sleep 0.1; done; sleep 0.1"
    batch = head.penstock("submit", "--key", key, "--shell", script, ":::", *map(str, range(40)))
    assert batch.returncode == 0, batch.stderr
    array = slurm.sbatch("--key", key, "--workers", "2", "--idle-timeout", "3s")
    until(lambda: head.penstock("workers", "--key", key, "--json").stdout.count(b"\n") == 2)
    go.touch()
    until(lambda: ran.exists() and len(ran.read_text().split()) > 10)
    node.must("scancel", f"{array}_1")
    results = head.penstock("results", "last", "--follow", "--key", key)
    assert results.returncode == 0, results.stderr
    assert set(ran.read_text().split()) == {str(number) for number in range(40)}
    done = head.penstock("jobs", "last", "--key", key, "--json").stdout
    assert done.count(b'"succeeded"') == 40
    until(lambda: b" stopped: " in slurm.log(f"{array}_1"))
    assert b"reason=signal" in slurm.log(f"{array}_1")
    until(lambda: not slurm.left(), what="the other one leaves when idle")
    assert b"reason=idle" in slurm.log(f"{array}_2")

    array = slurm.sbatch("--key", key, "--time", "1", "--drain-before", "52s")
    until(lambda: b'reason="time limit"' in slurm.log(f"{array}_1"))
    until(lambda: not slurm.left())
