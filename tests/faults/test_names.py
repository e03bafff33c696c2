"""Names of hosts: a resolver that hangs, names that have IPv6 addresses alone, several, none yet, or a local one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.namespace_hosts import Host, Network, needs_hosts, needs_sshd, up
from support.stations import logs, until

pytestmark = needs_hosts

SILENT_DNS = """
import socket, time
server = socket.socket(type=socket.SOCK_DGRAM)
server.bind(("", 53))
print("up", flush=True)
time.sleep(1000)
"""
"""A name server that takes questions and answers none."""
PENSTOCK = (sys.executable, "-m", "penstock")


@pytest.fixture
def network(folder: Path) -> Iterator[Network]:
    """A head and two hosts more, which have IPv6 addresses, too."""
    made = Network(folder, "head", "gpu1", "gpu2")
    try:
        for number, name in enumerate(("head", "gpu1", "gpu2"), 1):
            made[name].must("ip", "-6", "address", "add", f"fd77::{number}/64", "dev", "eth0", "nodad")
        yield made
    finally:
        made.close()
        print("\n".join(logs(folder)))


def know(host: Host, text: str, *, server: str = "") -> None:
    """From now on this is all that a host knows of names; for others it asks this server."""
    for place, content in (("hosts", text), ("resolv.conf", f"nameserver {server}\n" if server else "")):
        file = host.home / place
        file.write_text(content)
        host.must("mount", "--bind", file, f"/etc/{place}")


def start(network: Network, folder: Path, host: str, name: str, *words: str) -> Path:
    """Start a command of penstock there; its log."""
    log = folder / f"{name}.log"
    network.daemons.append(network[host].start(log, *PENSTOCK, *words))
    return log


def test_a_resolver_that_hangs_holds_up_nothing(network: Network, folder: Path) -> None:
    """The sink is started again while a worker's host cannot resolve its name: the worker is not lost, what it runs is
    not started elsewhere, and its outcome arrives."""
    key, ran = up(network, folder), folder / "ran"
    worker = start(network, folder, "gpu1", "gpu1", "worker", "--slots", "1", "--key", f"{key}/workers.key")
    until(lambda: " joined: " in worker.read_text())
    admin = ("--key", f"{key}/admin.key")
    submit = ("submit", *admin, "--shell", f"echo {{}} >> {ran}; sleep 12", ":::", "a")
    assert network["head"].penstock(*submit).returncode == 0
    until(ran.exists)
    other = start(network, folder, "gpu2", "gpu2", "worker", "--slots", "1", "--key", f"{key}/workers.key")
    until(lambda: " joined: " in other.read_text())
    network.daemons.append(network["gpu2"].start(folder / "dns.log", sys.executable, "-c", SILENT_DNS))
    until((folder / "dns.log").read_text, what="the name server is up")
    know(network["gpu1"], "127.0.0.1 localhost\n", server=network["gpu2"].address)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(network["gpu1"].argv("getent", "hosts", "head"), timeout=4, check=False)  # it hangs indeed
    assert "head has no address here (no answer within" in network["gpu1"].doctor("--key", f"{key}/workers.key")
    sinks = re.compile(r"penstock\.sink INFO started: up pid=(\d+)")
    log = (folder / "up.log").read_text
    network["head"].must("kill", "-9", *sinks.findall(log()))
    until(lambda: len(sinks.findall(log())) == 2, what="the sink is up again")
    done = network["head"].penstock("results", *admin, "last", "--follow", "--json")
    assert b'"state":"succeeded"' in done.stdout.replace(b" ", b"")
    assert ran.read_text() == "a\n"
    assert " worker_lost: " not in log()


@pytest.mark.parametrize(
    ("names", "others"),
    [
        ("fd77::1 pipeline\n", ["tcp://pipeline:7700"]),
        (
            "10.77.0.1 pipeline\nfd77::1 pipeline\n10.77.0.99 pipeline\n",
            ["tcp://10.77.0.1:7700", "tcp://[fd77::1]:7700"],
        ),
    ],
)
def test_what_a_name_stands_for_is_reached(network: Network, folder: Path, names: str, others: list[str]) -> None:
    """IPv6 alone; or several addresses: the stations listen at all that are theirs, and workers try one after the
    other."""
    for name in ("head", "gpu1"):
        know(network[name], f"127.0.0.1 localhost\n{names}")
    bind = ("--bind", "tcp://pipeline:7700", "--insecure", "--workers", "0", "--data", str(folder / "d"))
    head = start(network, folder, "head", "up", "up", *bind)
    until(lambda: "is up" in head.read_text())
    know(network["gpu1"], "127.0.0.1 localhost\n10.77.0.99 pipeline\nfd77::1 pipeline\n")
    for number, url in enumerate([*others, "tcp://pipeline:7700"]):
        log = start(network, folder, "gpu1", f"worker{number}", "worker", "--connect", url, "--slots", "1")
        until(lambda log=log: " joined: " in log.read_text())  # type: ignore[misc]
    assert (" several_addresses: " in head.read_text()) == (len(others) > 1)


def test_names_that_are_late_wrong_or_local(network: Network, folder: Path) -> None:
    """A station waits, with a line, for its name to have an address, and then listens there. One of another host ends
    it with an exit code for which systemd tries again, and no word of another process. Of a name that is local, as
    Debian's installer makes that of the machine, it says so."""
    head = network["head"]
    know(head, "127.0.0.1 localhost\n")

    def ventilator(name: str) -> tuple[str, ...]:
        return ("ventilator", "--bind", f"tcp://{name}:7700", "--insecure", "--data", str(folder / name))

    log = start(network, folder, "head", "late", *ventilator("late"))
    until(lambda: " no_address: " in log.read_text())
    bind = ("--bind", "tcp://late:7600", "--insecure", "--workers", "0", "--data", str(folder / "up"))
    whole = start(network, folder, "head", "up", "up", *bind)
    until(lambda: " no_address: " in whole.read_text())
    assert " started: " not in log.read_text() + whole.read_text()
    assert "late has no address here (" in head.doctor("--url", "tcp://late:7700")
    assert "10.77.0.99:7700 does not answer" in network["gpu1"].doctor("--url", "tcp://10.77.0.99:7700")
    know(head, "127.0.0.1 localhost\n10.77.0.1 late\n10.77.0.99 elsewhere\n127.0.1.1 head\n")
    until(lambda: " started: " in log.read_text() and "is up" in whole.read_text())
    done = head.penstock(*ventilator("elsewhere"))
    assert (done.returncode, b"is not of this machine" in done.stderr) == (68, True)
    assert b"stop what listens" not in done.stderr
    local = start(network, folder, "head", "local", *(word.replace("7700", "7800") for word in ventilator("head")))
    until(lambda: " started: " in local.read_text())
    assert " local_name: " in local.read_text()
    assert "head is 127.0.1.1 here, which only this machine reaches" in head.doctor("--url", "tcp://head:7800")


@needs_sshd
def test_a_tunnel_whose_far_end_is_down(network: Network, folder: Path) -> None:
    """Real ssh lets everybody come, and hangs up: clients, workers and `doctor` name that, and nothing of a key."""
    network.sshd("head")
    until(lambda: "listening" in (folder / "sshd-head.log").read_text(), what="sshd is up")
    ports = range(7600, 7606)
    ways = [word for port in ports for word in ("-L", f"127.0.0.1:{port}:127.0.0.1:{port}")]
    host = network["gpu1"]
    network.daemons.append(host.start(folder / "tunnel.log", *network.ssh.split(), "-N", *ways, "head"))
    until(lambda: all(f":{port} " in host.must("ss", "-tln") for port in ports), what="the tunnel is there")
    url = "tcp://127.0.0.1:7600"
    assert "it hangs up at once: a tunnel or proxy whose far end is down" in host.doctor("--url", url)
    asked = host.penstock("status", "--url", url)
    assert (asked.returncode, b"a tunnel whose far end is down" in asked.stderr) == (3, True)
    assert b"key" not in asked.stderr
    log = start(network, folder, "gpu1", "worker", "worker", "--connect", url, "--slots", "1")
    until(lambda: "or is a tunnel whose far end is down" in log.read_text(), what="the worker says so")
