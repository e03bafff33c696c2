"""Lists of hosts, and what a host's answer means."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.fleet.ssh import Fleet, Host, read_hosts

URL = "tcp://head:7555"


def test_a_line_is_a_host() -> None:
    """Its name, and what else is said of it; comments and empty lines are none."""
    text = "# ours\n\ngpu1\nme@gpu2 tags=gpu,big slots=8 python=~/py/bin/python3 # the new one\n"
    assert read_hosts(text, "hosts") == [
        Host(name="gpu1"),
        Host(name="me@gpu2", slots=8, tags=("gpu", "big"), python="~/py/bin/python3"),
    ]
    assert [host.worker for host in read_hosts(text, "hosts")] == ["gpu1", "gpu2"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-oProxyCommand=x", "no host's name"),
        ("a b", "after the name"),
        ("a slots=0", "1 or more"),
        ("a slots=x", "1 or more"),
        ("a slots=1 slots=2", "each once"),
        ("a colour=red", "after the name"),
        ("a tags=", "after the name"),
        ("ok", "there twice"),
    ],
)
def test_a_wrong_line_is_named(line: str, said: str) -> None:
    """With its number; nothing that ssh would take for an option gets through."""
    with pytest.raises(ConfigError, match=rf"^hosts, line 2: .*{said}"):
        read_hosts(f"ok\n{line}\n", "hosts")


def test_an_empty_list_says_what_a_line_is() -> None:
    """Not a success without hosts."""
    with pytest.raises(ConfigError, match="one per line"):
        read_hosts("# none\n", "hosts")


def program(folder: Path, text: str) -> str:
    """A shell script that stands where ssh would."""
    path = folder / "ssh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("ssh", "said"),
    [
        ("echo 'ssh: connect to host x: no route' >&2; exit 255", "connect to host x: no route"),
        ("exit 127", "no python3 there: name one with python="),
        ("echo SyntaxError >&2; exit 1", "python3 there says: SyntaxError"),
        ('echo Welcome; echo \'penstock-answer {"error": "it is full"}\'', "it is full"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path: Path, ssh: str, said: str) -> None:
    """Whoever failed: ssh, the shell there, Python there, or what was asked."""
    (answer,) = Fleet([Host(name="x")], URL, program(tmp_path, f"cat > /dev/null; {ssh}")).look()
    assert answer.error == said


def test_no_ssh_is_said() -> None:
    """By the name of the command."""
    (answer,) = Fleet([Host(name="x")], URL, "/nowhere/ssh").look()
    assert answer.error == "/nowhere/ssh cannot be run: no such file or directory"


def test_a_key_is_never_an_argument(tmp_path: Path) -> None:
    """What travels is on ssh's input, which nobody else sees."""
    seen = tmp_path / "seen"
    ssh = program(tmp_path, f'echo "$@" >> {seen}; shift 10; XDG_STATE_HOME=/proc/none exec sh -c "$1"')
    (answer,) = Fleet([Host(name="x", python=sys.executable)], URL, ssh).start("TOP SECRET")
    assert "/proc/none" in answer.error
    assert seen.read_text().count("BatchMode=yes") == 2
    assert "SECRET" not in seen.read_text()


def test_the_program_for_hosts_needs_nothing_but_python() -> None:
    """Not even penstock, nor a new Python: an isolated interpreter runs it with nothing but the standard library."""
    from penstock.fleet import on_host

    ast.parse(Path(on_host.__file__).read_text(), feature_version=(3, 8))
    text = Path(on_host.__file__).read_text() + "\nmain({'do': 'look', 'pipeline': 'x', 'digest': ''})\n"
    done = subprocess.run([sys.executable, "-ISW", "error", "-"], input=text.encode(), capture_output=True, check=True)
    assert done.stdout.startswith(b"\npenstock-answer {")
    assert done.stderr == b""
