"""Commands that cannot be run, end badly, or are scripts without ``#!``: as a shell, and so GNU parallel, has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Cli
from contract.test_parallel import columns, until_2023

KINDS = [
    "no-such-program",
    "./plain",
    "/tmp",
    "./script a",
    "./binary",
    "./script a 44",
    "sh ./script a 137",
]
SIGNALS = ["./script a k", "./script a t"]
"""What a shell says of them is its own: without one the joblog has the signal."""


@pytest.fixture
def programs(folder: Path) -> Path:
    """In the working folder."""
    script = 'echo script $1; case $2 in k) kill -9 $$;; t) kill -15 $$;; "") ;; *) exit $2;; esac\n'
    for name, mode, text in [
        ("script", 0o755, script.encode()),
        ("plain", 0o644, b"echo plain\n"),
        ("binary", 0o755, b"\x7fELF\0\0\0\0junk\n"),
    ]:
        (folder / name).write_bytes(text)
        (folder / name).chmod(mode)
    return folder


@until_2023
@pytest.mark.parametrize("shell", [["--shell"], []])
def test_exit_codes_are_those_of_a_shell(theirs: Cli, ours: Cli, programs: Path, shell: list[str]) -> None:
    """127 what is not there, 126 what cannot be run, 128 and more what a shell says of a signal, and the signal itself,
    in the joblog; with a shell of its own, and without."""
    lines = "".join(f"{kind}\n" for kind in (*KINDS, *(SIGNALS if shell else ()))).encode()
    words = ["-k", "--joblog", "log"]
    done = ours("-j1", *shell, *words, stdin=lines)
    log = (programs / "log").read_bytes()
    expected = theirs(*words, stdin=lines)
    assert [row[4:6] for row in columns(log)] == [row[4:6] for row in columns((programs / "log").read_bytes())]
    assert (done.returncode, done.stdout) == (1, expected.stdout)


def test_every_face_of_a_job_has_its_exit_code(cli: Cli, programs: Path) -> None:
    """Records say it too, and the cause says in words what was wrong."""
    assert (programs / "plain").exists()
    done = cli("run", "-k", "--json", stdin=b"no-such-program\n./plain\n")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(record["returncode"], record["cause"]) for record in records] == [
        (127, "cannot start 'no-such-program': No such file or directory"),
        (126, "cannot start './plain': Permission denied"),
    ]
