"""`penstock print`: what it prints is what systemd, Slurm's shell and Kubernetes take, by their own word."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Cli
from penstock.keys import files
from penstock.keys.files import KeyFolder
from penstock.keys.roles import Role
from penstock.wire.guard import new_pair

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze") and not os.environ.get("CI"), reason="no systemd-analyze here"
)


@pytest.fixture
def key(folder: Path) -> str:
    """A key folder with a name that a unit must quote."""
    made = KeyFolder(folder / "keys of 100%", new_pair)
    made.init("tcp://head:7555")
    return str(made.path)


def printed(cli: Cli, *words: str) -> str:
    """What it prints."""
    done = cli("print", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@needs_systemd
@pytest.mark.parametrize("station", ["ventilator", "sink", "worker"])
@pytest.mark.parametrize("more", [[], ["--data", "/srv/penstock"]])
def test_units_are_what_systemd_takes(cli: Cli, folder: Path, key: str, station: str, more: list[str]) -> None:
    """Not a word that it does not know, and the program is there."""
    unit = folder / "units" / f"penstock-{station}.service"
    unit.parent.mkdir()
    unit.write_text(printed(cli, "systemd", station, "--key", key, *more))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for line in ("NoNewPrivileges=yes", "PrivateTmp=yes", "LimitNOFILE=65536", "Restart=on-failure"):
        assert line in unit.read_text().splitlines()
    assert f'--key "{folder}/keys of 100%%' in unit.read_text()


HOSTILE = (
    "a b",
    ";",
    "",
    "it's",
    '"q" \\',
    "$HOME ${HOME} $(id) `id`",
    "%h %i %%",
    "#x",
    "a: {b}, [c] & *d",
    "$(KUBERNETES_PORT)",
    "-x",
    "~",
    "\u00fc\U0001f600",
)
"""Words, each of which means something in a unit, a shell, YAML or a manifest."""
FOLDER = "/tmp/a %h $HOME 'x' \"y\" #\\"
URL = f"ipc://{FOLDER}"
TAGS = [word for tag in HOSTILE for word in ("--tag", tag)]
HEALTH = ["--health-file", "/tmp/penstock.health"]


def read_by_systemd(folder: Path, name: str, text: str) -> tuple[list[str], dict[str, str]]:
    """The command that systemd would run, and the rest of the unit: what it says itself that it has read."""
    unit = folder / "units" / name
    unit.parent.mkdir(exist_ok=True)
    unit.write_text(text)
    environment = os.environ | {"SYSTEMD_LOG_LEVEL": "debug"}
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], env=environment, capture_output=True, text=True, check=True
    )
    about = done.stdout[done.stdout.index(f"-> Unit {name}:") :]
    found = dict(reversed(re.findall(r"\t([A-Z][A-Za-z ]+): (.*)", about)))  # the first of each is this unit's
    words = re.findall(r'"((?:\\.|[^"\\])*)"|(\S+)', found["Command Line"])
    return [re.sub(r"\\(.)", r"\1", quoted or plain).replace("$$", "$") for quoted, plain in words], found


@needs_systemd
def test_a_unit_is_read_as_what_was_said(cli: Cli, folder: Path) -> None:
    """By systemd: every word of a user, whatever it means there."""
    text = printed(cli, "systemd", "worker", "--url", URL, *TAGS)
    command, found = read_by_systemd(folder, "penstock-worker.service", text)
    assert command[1:5] == ["-P", "-m", "penstock", "worker"]
    assert command[5:-2] == ["--connect", URL, *TAGS]
    assert command[-2:] == ["--name", socket.gethostname()]
    assert found["Description"] == f"penstock worker ({URL})"
    text = printed(cli, "systemd", "sink", "--url", URL, "--data", FOLDER)
    command, found = read_by_systemd(folder, "penstock-sink.service", text)
    assert command[5:] == ["--bind", URL, "--data", FOLDER]
    assert found["ReadWritePaths"] == FOLDER


def test_a_script_is_read_as_what_was_said(cli: Cli, folder: Path) -> None:
    """By bash."""
    script = folder / "job.sh"
    text = printed(cli, "slurm", "--url", URL, *TAGS)
    script.write_text(text.replace(f"exec {sys.executable}", f"printf '%s\\0' > {folder}/seen"))
    (folder / "scontrol").write_text("#!/bin/sh\n")
    (folder / "scontrol").chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    environment |= {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}
    subprocess.run(["bash", script], env=environment, check=True)
    words = (folder / "seen").read_text().split("\0")[:-1]
    assert words[4:] == ["--connect", URL, *TAGS, "--idle-timeout", "10m"]


def test_a_manifest_is_read_as_what_was_said(cli: Cli, folder: Path) -> None:
    """By a reader of YAML, and then by Kubernetes, to which a dollar is two."""
    (deployment,) = yaml.safe_load_all(printed(cli, "k8s", "--image", "a: #b", "--url", URL, *TAGS))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "a: #b"
    command = [word.replace("$$", "$") for word in container["command"]]
    assert command == ["penstock", "worker", "--connect", URL, "--slots", "1", *TAGS, *HEALTH]
    assert "$(" not in "".join(container["command"]).replace("$$", "")


@pytest.mark.parametrize(
    "words",
    [
        *(["slurm", "--tag"], ["slurm", "--time"], ["slurm", "--idle-timeout"], ["slurm", "--drain-before"]),
        *(["systemd", "worker", "--tag"], ["systemd", "sink", "--user"], ["systemd", "sink", "--data"]),
        *(["k8s", "--image", "x", "--tag"], ["k8s", "--image"], ["k8s", "--image", "x", "--head", "--storage"]),
        *(["slurm", "--url"], ["systemd", "worker", "--url"], ["k8s", "--image", "x", "--url"]),
    ],
    ids=" ".join,
)
def test_nothing_becomes_a_line_of_its_own(cli: Cli, words: list[str]) -> None:
    """A line end in a word is refused, whatever word it is."""
    url = ["--url", "tcp://head:5555"]
    done = cli("print", words[0], *url, *words[1:], "a\n#SBATCH --uid=0")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1), done.stderr


def test_a_job_script_starts_workers(cli: Cli, folder: Path, key: str) -> None:
    """bash takes it, and what it runs is a command line of ours, with the wall time if there is one."""
    script = folder / "job.sh"
    script.write_text(printed(cli, "slurm", "--key", key, "--workers", "3", "--time", "1:00:00", "--tag", "a b"))
    lines = script.read_text().splitlines()
    assert {"#SBATCH --array=1-3", "#SBATCH --time=1:00:00"} <= set(lines)
    seen = folder / "seen"
    for name, text in (
        ("scontrol", 'echo "   StartTime=2030-01-01T00:00:00 EndTime=$END Deadline=N/A"'),
        ("date", '[ "$1" = +%s ] && echo 1000 || echo 1600'),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    script.write_text(script.read_text().replace(f"exec {sys.executable}", f"printf '%s\\n' > {seen}"))
    for end, limit in (("2030-01-01T00:10:00", "600s"), ("Unknown", None)):
        environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "END": end}
        environment |= {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}
        subprocess.run(["bash", script], env=environment, check=True)
        words = seen.read_text().splitlines()
        assert words[:4] == ["-P", "-m", "penstock", "worker"]
        given = dict(zip(words[4::2], words[5::2], strict=True))
        assert (given.get("--time-limit"), given["--idle-timeout"], given["--tag"]) == (limit, "10m", "a b")


def objects(cli: Cli, folder: Path, *words: str) -> list[dict[str, Any]]:
    """What a manifest has, which is what Kubernetes takes by its schema."""
    manifest = folder / "manifest.yaml"
    manifest.write_text(printed(cli, "k8s", "--image", "registry/penstock:1", *words))
    validate = Path(sys.executable).with_name("kubernetes-validate")
    done = subprocess.run([validate, "--strict", manifest], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(manifest.read_text()))


def make_keys_as_a_pod(folder: Path, secret: dict[str, Any], pod: dict[str, Any]) -> Path:
    """Run what the pod runs first, on a volume and a secret as the kubelet makes them: the folder /keys."""
    mounts = {"/secret": folder / "secret", "/keys": folder / "volume"}
    for path in mounts.values():
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    mounts["/keys"].chmod(0o777)  # as an emptyDir is
    (mounts["/secret"] / "..data").mkdir()
    for name, text in secret["stringData"].items():
        (mounts["/secret"] / "..data" / name).write_text(text)
        (mounts["/secret"] / name).symlink_to(f"..data/{name}")
    (make,) = pod["initContainers"]
    shell = shlex.join(make["command"])
    for mounted, here in mounts.items():
        shell = shell.replace(f"{mounted}/", f"{here}/")
    subprocess.run(shell, shell=True, check=True)
    return mounts["/keys"]


def option(container: dict[str, Any], name: str) -> str:
    """What a container's command says by an option."""
    return str(container["command"][container["command"].index(name) + 1])


def test_a_manifest_is_what_kubernetes_takes(cli: Cli, folder: Path, key: str) -> None:
    """By its schema; and the key that the pod makes of the secret is one that a worker takes."""
    secret, deployment = objects(cli, folder, "--key", key, "--workers", "2")
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["command"][:2] == ["penstock", "worker"]
    volume = make_keys_as_a_pod(folder, secret, pod)
    path = option(container, "--key").replace("/keys/", f"{volume}/")
    assert files.load(path, Role.WORK).url == "tcp://head:7555"


def test_a_manifest_of_the_head(cli: Cli, folder: Path, key: str) -> None:
    """Both stations on one volume behind the service that the URL names, with all of its ports; of the keys they have
    their own and the list, and no other."""
    secret, service, stations, *workers = objects(cli, folder, "--key", key, "--head", "--storage", "1Gi")
    assert [one["kind"] for one in workers] == ["Secret", "Deployment"]
    assert service["metadata"]["name"] == "head"
    assert [one["port"] for one in service["spec"]["ports"]] == list(range(7555, 7561))
    pod: dict[str, Any] = stations["spec"]["template"]["spec"]
    assert service["spec"]["selector"].items() <= stations["spec"]["template"]["metadata"]["labels"].items()
    assert [one["command"][:2] for one in pod["containers"]] == [["penstock", "ventilator"], ["penstock", "sink"]]
    assert all(option(one, "--health-file") in str(one["livenessProbe"]) for one in pod["containers"])
    assert set(secret["stringData"]) == {"ventilator.key", "sink.key", "peers.json"}
    volume = make_keys_as_a_pod(folder, secret, pod)
    for container, role in zip(pod["containers"], (Role.VENTILATOR, Role.SINK), strict=True):
        own = Path(option(container, "--key").replace("/keys/", f"{volume}/"))
        assert files.load(own, role).role is role
        assert "workers" in {peer.name for peer in files.load_peers(own).allowed.values()}
        assert (option(container, "--bind"), option(container, "--data")) == ("tcp://0.0.0.0:7555", "/data/own")
    assert [one["kind"] for one in objects(cli, folder, "--url", "tcp://penstock.here:5555", "--head")] == [
        "Service",
        "StatefulSet",
        "Deployment",
    ]


def test_a_head_needs_a_name_and_its_keys(cli: Cli, key: str) -> None:
    """One line, exit code 2."""
    for words in (["--url", "tcp://10.0.0.1:5555"], ["--url", "tcp://a:5555/b"], ["--key", f"{key}/workers.key"]):
        done = cli("print", "k8s", "--image", "x", "--head", *words)
        assert (done.returncode, done.stderr.count(b"\n")) == (2, 1), words


def test_without_keys_nothing_is_said_of_them(cli: Cli) -> None:
    """A pipeline in a network that is trusted."""
    for words in (["slurm"], ["k8s", "--image", "x"], ["systemd", "worker"], ["systemd", "sink"]):
        assert "key" not in printed(cli, *words, "--url", "tcp://head:7555").replace("# 2 is wrong use, 4 a key", "")
