"""Hosts on one machine: network, name, mount and process namespaces of their own on a common switch, all made by the
test (root) and gone with it, whatever happens: a host is a process, and what runs on it dies with that one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.stations import LIMIT, until

HEAD_URL = "tcp://head:7555"
"""Of the pipeline that `up` makes."""

NETWORK = "10.77.0"
"""Seen by nobody else: it is not this machine's."""
NARROW_BYTES = 1000
DOCTOR_SECONDS = 30.0
"""In which it finds each fault of a network."""
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
BOOT = """
mount -t tmpfs none /run && mkdir /run/sshd
mount --bind {names} /etc/hosts && mount --bind /dev/null /etc/resolv.conf
hostname {name} && ip link set lo up && echo up
exec sleep infinity
"""


def can_make_hosts() -> bool:
    """Whether this process may make namespaces; in CI it must."""
    if os.environ.get("CI"):
        return True
    probe = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "ip", "link"]
    with contextlib.suppress(OSError):
        return os.geteuid() == 0 and not subprocess.run(probe, capture_output=True, check=False).returncode
    return False


needs_hosts = pytest.mark.skipif(not can_make_hosts(), reason="namespaces are not allowed here")
needs_sshd = pytest.mark.skipif(not SSHD and not os.environ.get("CI"), reason="no sshd here")


class Host:
    """One of them. Its home is a folder of its own, the rest of the file system is everybody's."""

    def __init__(self, name: str, folder: Path, names: Path) -> None:
        self.name = name
        self.home = folder / name
        self.home.mkdir()
        self.variables: dict[str, str] = {}
        """More of its environment."""
        self._boot = BOOT.format(name=name, names=names)
        self.address = ""
        self.on()

    def on(self) -> None:
        """Switch it on; it has no network yet."""
        flags = ["--net", "--uts", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
        self._process = subprocess.Popen(
            ["unshare", *flags, "sh", "-ec", self._boot], stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"up\n"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        self.pid = int(children.read_text().split()[0])

    def off(self) -> None:
        """Pull the plug: everything that ran on it is gone at once."""
        self.kill()
        self.gone()

    def kill(self) -> None:
        """Begin to pull the plug."""
        self._process.kill()

    def gone(self) -> None:
        """Wait until a host that was killed is off."""
        self._process.communicate()
        until(lambda: not Path(f"/proc/{self.pid}").exists(), what=f"{self.name} is off")
        self.pid = 0

    def argv(self, *words: str | Path) -> list[str]:
        """A command line that runs there."""
        enter = ["nsenter", "--target", str(self.pid), "--net", "--uts", "--mount", "--pid"]
        return [*enter, *(str(word) for word in words)]

    @property
    def environment(self) -> dict[str, str]:
        """Of what runs there."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PENSTOCK_"))},
            **{name: value for name, value in os.environ.items() if name == "PENSTOCK_TEST_MARK"},
            "HOME": str(self.home),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **self.variables,
        }

    def run(
        self, *words: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command there to its end."""
        return subprocess.run(
            self.argv(*words),
            input=stdin,
            capture_output=True,
            env=self.environment | (env or {}),
            cwd=self.home,
            timeout=4 * LIMIT,
            check=False,
        )

    def must(self, *words: str | Path) -> str:
        """What a command prints that must go well."""
        done = self.run(*words)
        assert done.returncode == 0, (words, done.stderr.decode())
        return done.stdout.decode()

    def penstock(self, *words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
        """The command line, there."""
        return self.run(sys.executable, "-m", "penstock", *words, env=env)

    def doctor(self, *words: str) -> str:
        """The lines of `doctor` that are not ``ok``; it finds each fault in time."""
        argv = self.argv(sys.executable, "-m", "penstock", "doctor", *words)
        done = subprocess.run(
            argv, capture_output=True, env=self.environment, cwd=self.home, timeout=DOCTOR_SECONDS, check=False
        )
        lines = done.stdout.decode().splitlines()
        assert done.returncode == any(line.startswith("wrong") for line in lines), done
        return "\n".join(line for line in lines if not line.startswith("ok"))

    def start(self, log: Path, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start a process there, with its output in a file."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.argv(*words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                cwd=self.home,
                start_new_session=True,
            )

    def cut(self) -> None:
        """Nothing that it says arrives anywhere, and nobody is told."""
        self.must("ip", "route", "add", "blackhole", f"{NETWORK}.0/25")
        self.must("ip", "route", "add", "blackhole", f"{NETWORK}.128/25")

    def heal(self) -> None:
        """The network is as it was."""
        self.must("ip", "route", "flush", "type", "blackhole")

    def shut(self, port: int) -> None:
        """Nothing that it sends to this port arrives anywhere, and nobody is told: a firewall that drops."""
        self.must("ip", "route", "replace", "default", "dev", "lo", "table", "77")
        self.must("ip", "rule", "add", "pref", "10", "ipproto", "tcp", "dport", str(port), "lookup", "77")

    def open(self) -> None:
        """Every port is open again."""
        self.must("ip", "rule", "del", "pref", "10")

    def reset_connections(self) -> None:
        """Break every connection it has, as the kernel does for an administrator."""
        assert "ESTAB" in self.must("ss", "-K", "-t", "dst", f"{NETWORK}.0/24"), "this kernel breaks no connection"

    def half_open(self) -> None:
        """Its own ends of all connections are gone, and the others hear nothing of that."""
        self.cut()
        try:
            self.reset_connections()
        finally:
            self.heal()


class Network:
    """So many hosts on a switch, which know each other by name."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._folder = folder
        self._names = folder / "hosts"
        self._addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 1)}
        self._write_names()
        self.hosts: dict[str, Host] = {}
        self.daemons: list[subprocess.Popen[bytes]] = []
        try:
            self.hosts[""] = self._switch = Host("switch", folder, self._names)
            self._switch.must("ip", "link", "add", "bridge", "type", "bridge")
            self._switch.must("ip", "link", "set", "bridge", "up")
            for name, address in self._addresses.items():
                self.hosts[name] = Host(name, folder, self._names)
                self.hosts[name].address = address
                self.plug(name)
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def _write_names(self) -> None:
        lines = "".join(f"{address} {name}\n" for name, address in self._addresses.items())
        self._names.write_text(f"127.0.0.1 localhost\n{lines}")

    def move_name(self, name: str, *, to: str) -> None:
        """From now on this name is another host's."""
        self._addresses[name] = self._addresses[to]
        self._write_names()

    def plug(self, name: str) -> None:
        """Connect a host that was switched on."""
        host, port = self.hosts[name], f"to-{name}"
        link = ["link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid)]
        subprocess.run(
            ["nsenter", "--target", str(self._switch.pid), "--net", "ip", *link], check=True, capture_output=True
        )
        self._switch.must("ip", "link", "set", port, "master", "bridge", "up")
        host.must("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host.must("ip", "link", "set", "eth0", "up")

    def narrow(self, name: str) -> None:
        """Packets of more than so many bytes vanish on the way from this host and to it, and nobody is told."""
        self.hosts[name].must("ip", "link", "set", "eth0", "gso_max_segs", "1")
        self._switch.must("ip", "link", "set", f"to-{name}", "mtu", str(NARROW_BYTES))

    def widen(self, name: str) -> None:
        """They arrive again."""
        self._switch.must("ip", "link", "set", f"to-{name}", "mtu", "1500")

    def sshd(self, name: str, **variables: str) -> None:
        """Real sshd on a host, for whoever has the test's key; its sessions have that host's home."""
        assert SSHD, "Debian's openssh-server"
        keys = self._folder / "ssh"
        if not keys.exists():
            keys.mkdir(mode=0o700)
            for key in ("host", "user"):
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / key], check=True)
            known = [f"{one} {(keys / 'host.pub').read_text()}" for one in self.hosts]
            (keys / "known").write_text("".join(known))
            (keys / "config").write_text(
                f"Host *\n User root\n IdentityFile {keys}/user\n IdentitiesOnly yes\n"
                f" UserKnownHostsFile {keys}/known\n GlobalKnownHostsFile none\n StrictHostKeyChecking yes\n"
            )
        host = self.hosts[name]
        given = {"HOME": str(host.home), "PYTHONPATH": host.environment["PYTHONPATH"], **variables}
        given["PENSTOCK_TEST_MARK"] = os.environ["PENSTOCK_TEST_MARK"]
        config = keys / f"{name}.conf"
        config.write_text(
            f"HostKey {keys}/host\nAuthorizedKeysFile {keys}/user.pub\nPermitRootLogin yes\nStrictModes no\nUsePAM no\n"
            f"PidFile none\nSetEnv {' '.join(f'{key}={value}' for key, value in given.items())}\n"
        )
        self.daemons.append(host.start(self._folder / f"sshd-{name}.log", SSHD, "-D", "-e", "-f", config))

    @property
    def ssh(self) -> str:
        """The command that reaches them, from one of them."""
        return f"ssh -F {self._folder}/ssh/config"

    def close(self) -> None:
        """Switch all of them off, and so remove the network."""
        for host in self.hosts.values():
            if host.pid:
                host.kill()
        for host in self.hosts.values():
            if host.pid:
                host.gone()
        for daemon in self.daemons:
            daemon.wait(LIMIT)


def up(network: Network, folder: Path) -> str:
    """A pipeline with keys and without workers on the head; its key folder."""
    head = network["head"]
    assert head.penstock("keys", "init", HEAD_URL).returncode == 0
    key = str(head.home / ".config" / "penstock" / "keys")
    log = folder / "up.log"
    network.daemons.append(
        head.start(
            log, sys.executable, "-m", "penstock", "up", "--workers", "0", "--key", key, "--data", head.home / "d"
        )
    )
    until(lambda: b"is up" in log.read_bytes(), what="the pipeline is up")
    return key
