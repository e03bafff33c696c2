"""`penstock fleet` against real sshd, on hosts that are namespaces of this machine."""

from __future__ import annotations

import json
import re
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from penstock.fleet.wheel import pack
from penstock.job.shipped_modules import PYTHON
from support.namespace_hosts import HEAD_URL, Network, needs_hosts, needs_sshd, up
from support.stations import LIMIT, until

pytestmark = [needs_hosts, needs_sshd]

TOP = Path(__file__).parents[2]


@pytest.fixture
def network(folder: Path, request: pytest.FixtureRequest) -> Iterator[Network]:
    """A head, and two hosts with sshd, which have one home if the test says so."""
    made = Network(folder, "head", "gpu1", "gpu2")
    variables = {"HOME": str(folder)} if hasattr(request, "param") else {}
    try:
        made.sshd("gpu1", **variables)
        made.sshd("gpu2", **variables)
        until(lambda: made["head"].run(*made.ssh.split(), "gpu1", "true").returncode == 0)
        until(lambda: made["head"].run(*made.ssh.split(), "gpu2", "true").returncode == 0)
        yield made
    finally:
        made.close()


def fleet(network: Network, *words: str | Path, key: str = "") -> tuple[int, dict[str, str], str]:
    """Run it on the head: exit code, what it says of each host, stderr."""
    env = {"PENSTOCK_SSH": network.ssh, **({"PENSTOCK_KEY": key} if key else {})}
    done = network["head"].penstock("fleet", *words, env=env)
    said = dict(line.split(": ", 1) for line in done.stdout.decode().splitlines())
    return done.returncode, said, done.stderr.decode()


def hosts_file(folder: Path, *lines: str) -> Path:
    """A list of hosts whose Python is that of the tests."""
    path = folder / "fleet.txt"
    path.write_text("".join(f"{line} python={sys.executable}\n" for line in lines))
    return path


def test_a_fleet_is_started_used_and_stopped(network: Network, folder: Path) -> None:
    """Workers on two hosts, with slots and tags; they outlive ssh, run jobs once, and drain. A host that is not there
    is said, and keeps nobody."""
    key = up(network, folder)
    hosts = hosts_file(folder, "gpu1 slots=2 tags=gpu,big", "gpu2 slots=1", "nowhere")
    code, said, _ = fleet(network, "start", hosts, key=key)
    assert code == 1
    assert re.match(r"started \(2 slots, pid \d+, log ", said["gpu1"])
    assert re.match(r"started \(1 slots, pid \d+, log ", said["gpu2"])
    assert "nowhere" in said["nowhere"]
    copy = network["gpu1"].home / ".local/state/penstock/fleet/head-7555/gpu1/worker.key"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert copy.read_bytes() == (Path(key) / "workers.key").read_bytes()

    head = network["head"]
    ran = head.penstock("run", "--key", key, "-k", "echo", ":::", *map(str, range(100)))
    assert ran.stdout.split() == [b"%d" % number for number in range(100)], ran.stderr
    assert b"3 slots on 2 hosts" in ran.stderr
    tagged = head.penstock("run", "--key", key, "--needs", "gpu", "--shell", "hostname; : {}", ":::", "a", "b")
    assert tagged.stdout.split() == [b"gpu1", b"gpu1"]
    workers = head.penstock("workers", "--key", key, "--json").stdout.splitlines()
    assert {(one["name"], one["slots"]) for one in map(json.loads, workers)} == {
        ("workers/gpu1", 2),
        ("workers/gpu2", 1),
    }

    hosts = hosts_file(folder, "gpu1 slots=2", "gpu2 slots=1")
    code, said, _ = fleet(network, "start", hosts, key=key)
    assert (code, {text.split(" (")[0] for text in said.values()}) == (0, {"runs already"})
    code, said, _ = fleet(network, "status", hosts, key=key)
    assert (code, {text.split()[0] for text in said.values()}) == (0, {"runs"})
    assert fleet(network, "stop", hosts, key=key)[:2] == (0, {"gpu1": "stopped", "gpu2": "stopped"})
    code, said, _ = fleet(network, "status", hosts, key=key)
    assert (code, {text.split(";")[0] for text in said.values()}) == (1, {"no worker runs"})
    assert not head.penstock("workers", "--key", key, "--json").stdout


@pytest.mark.parametrize("network", ["one home"], indirect=True)
def test_hosts_that_share_a_home_have_a_worker_each(network: Network, folder: Path) -> None:
    """Each stops its own; and one of another penstock is said, and replaced when that is asked for."""
    key = up(network, folder)
    hosts = hosts_file(folder, "gpu1 slots=1", "gpu2 slots=1")
    code, said, _ = fleet(network, "start", hosts, key=key)
    assert (code, {text.split(" (")[0] for text in said.values()}) == (0, {"started"})
    workers = network["head"].penstock("workers", "--key", key, "--json").stdout.splitlines()
    assert {json.loads(line)["host"] for line in workers} == {"gpu1", "gpu2"}
    assert fleet(network, "stop", hosts_file(folder, "gpu1"), key=key)[:2] == (0, {"gpu1": "stopped"})
    workers = network["head"].penstock("workers", "--key", key, "--json").stdout.splitlines()
    assert [json.loads(line)["host"] for line in workers] == ["gpu2"]

    record = folder / ".local/state/penstock/fleet/head-7555/gpu2/worker.pid"
    before = json.loads(record.read_text())
    record.write_text(json.dumps(before | {"penstock": "an older one"}))
    hosts = hosts_file(folder, "gpu2")
    code, said, _ = fleet(network, "start", hosts, key=key)
    assert (code, said["gpu2"].split("; ")[1:]) == (
        0,
        ["it is of another penstock than this one, and --restart replaces it"],
    )
    code, said, _ = fleet(network, "start", "--restart", hosts, key=key)
    assert (code, said["gpu2"].split(" (")[0]) == (0, "started")
    assert json.loads(record.read_text())["pid"] != before["pid"]
    assert fleet(network, "stop", hosts, key=key)[0] == 0


def test_a_second_stop_ends_what_runs(network: Network, folder: Path) -> None:
    """The first waits for the job that runs; the second ends it, and both return. It runs on elsewhere, later."""
    key = up(network, folder)
    hosts = hosts_file(folder, "gpu1 slots=1")
    assert fleet(network, "start", hosts, key=key)[0] == 0
    head = network["head"]
    assert head.penstock("submit", "--key", key, "--one", "sleep", "600").returncode == 0
    until(lambda: b"1 running" in head.penstock("status", "--key", key).stdout)
    log = folder / "first-stop.log"
    penstock = (sys.executable, "-m", "penstock", "fleet", "stop")
    first = head.start(log, *penstock, hosts, "--key", key, "--ssh", network.ssh)
    worker = network["gpu1"].home / ".local/state/penstock/fleet/head-7555/gpu1/worker.log"
    until(lambda: b" drains: " in worker.read_bytes())
    assert first.poll() is None
    assert fleet(network, "stop", hosts, key=key)[:2] == (0, {"gpu1": "stopped"})
    assert first.wait(LIMIT) == 0
    assert log.read_bytes() == b"gpu1: stopped\n"
    until(lambda: b"1 waiting" in head.penstock("status", "--key", key).stdout)


def test_another_python_starts_nothing_anywhere(network: Network, folder: Path) -> None:
    """Found before anything is started, also on the hosts that would do."""
    key = up(network, folder)
    other = folder / "python3.7"
    other.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'import sys; sys.version_info = (3, 7, 9); exec(sys.stdin.read())'\n"
    )
    other.chmod(0o755)
    hosts = folder / "fleet.txt"
    hosts.write_text(f"gpu1 python={sys.executable}\ngpu2 python={other}\n")
    code, said, _ = fleet(network, "start", hosts, key=key)
    assert code == 1
    assert said["gpu2"].startswith("has Python 3.7.9, and the head 3.")
    assert said["gpu1"] == "not started, because of another host's Python"
    assert not list(network["gpu1"].home.rglob("worker.*"))


def test_penstock_goes_along_where_it_is_missing(network: Network, folder: Path) -> None:
    """Into a venv of its own, from a wheel made here; what it depends on from where the host's pip has it."""
    shelf = folder / "wheels"
    shelf.mkdir()
    for name in dependencies("penstock"):
        repack(name, shelf)
    bare = folder / "bare-python"
    bare.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {Path(sys.base_prefix) / f"bin/python{PYTHON}"} "$@"\n')
    bare.chmod(0o755)
    pip = network["gpu1"].home / ".config" / "pip"
    pip.mkdir(parents=True)
    (pip / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {shelf}\n")
    key = up(network, folder)
    hosts = folder / "fleet.txt"
    hosts.write_text(f"gpu1 slots=1 python={bare}\n")
    code, said, _ = fleet(network, "start", hosts, key=key)
    assert said["gpu1"].startswith("started (1 slots"), said
    assert code == 0
    (venv,) = (network["gpu1"].home / ".local/share/penstock").glob("venv-*[!k]")
    ran = network["head"].penstock("run", "--key", key, "--call", "sys:getsizeof", ":::", "a")
    assert ran.stdout.strip().isdigit(), ran.stderr
    (process,) = network["gpu1"].must("pgrep", "-f", "penstock worker").split()
    assert str(venv) in network["gpu1"].must("ps", "-o", "args=", "-p", process)
    code, said, _ = fleet(network, "start", hosts, key=key)
    assert said["gpu1"].startswith("runs already")


def test_a_head_out_of_reach_is_said(network: Network, folder: Path) -> None:
    """The worker waits for it; the line and the exit code tell the user now."""
    hosts = hosts_file(folder, "gpu1")
    code, said, _ = fleet(network, "start", hosts, "--url", HEAD_URL)
    assert code == 1
    assert "but cannot reach head:7555: connection refused" in said["gpu1"]
    assert fleet(network, "stop", hosts, "--url", HEAD_URL)[:2] == (0, {"gpu1": "stopped"})


@pytest.mark.skipif(Path(sys.prefix).parent != TOP, reason="scripts/test runs it: elsewhere the script installs first")
def test_start_fleet_starts_a_fleet(network: Network, folder: Path) -> None:
    """The script is a few lines over the same."""
    key = up(network, folder)
    hosts = hosts_file(folder, "gpu1 slots=1", "gpu2 slots=1")
    environment = {"PENSTOCK_SSH": network.ssh, "PENSTOCK_RUN": str(folder / "run"), "PENSTOCK_VENV": sys.prefix}
    done = network["head"].run(TOP / "scripts" / "start-fleet", hosts, "--key", key, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b": started (1 slots, pid ") == 2
    assert fleet(network, "stop", hosts, key=key)[:2] == (0, {"gpu1": "stopped", "gpu2": "stopped"})


def dependencies(name: str) -> set[str]:
    """All that a distribution needs to be installed, except extras."""
    found: set[str] = set()
    for line in metadata.requires(name) or []:
        if (match := re.match(r"[\w.-]+", line)) and ";" not in line and match[0] not in found:
            found |= {match[0]} | dependencies(match[0])
    return found


def repack(name: str, shelf: Path) -> None:
    """A wheel of an installed distribution."""
    dist = metadata.distribution(name)
    assert dist.files is not None
    files = {str(path): Path(str(path.locate())).read_bytes() for path in dist.files if ".." not in path.parts}
    files = {path: data for path, data in files.items() if not path.endswith((".pyc", "RECORD"))}
    (info,) = {path.split("/")[0] for path in files if ".dist-info/" in path}
    tag = re.findall(r"^Tag: (.*)$", dist.read_text("WHEEL") or "", re.MULTILINE)[0]
    stem = info.removesuffix(".dist-info")
    (shelf / f"{stem}-{tag}.whl").write_bytes(pack(files, stem))
