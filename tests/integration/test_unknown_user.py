"""A user whom nobody knows, without a home or any variable, as in a container that is started with `--user 12345`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.exit_codes import FAILURE, SUCCESS, WRONG_USE
from support.stations import LIMIT

USER = 12345
"""In no list of users; it may read where this Python is."""
BECOME = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
READ = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
PROGRAM = """
import getpass
from penstock import Pipeline
with Pipeline("local", slots=1) as pipeline:
    print(type(pipeline.submit(getpass.getuser).exception(60)).__name__, pipeline.submit(abs, -1).result(60))
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """As that user, in an environment of PATH and these."""
    argv = [*BECOME, *READ, sys.executable, *command]
    env = {"PATH": os.environ["PATH"]} | variables
    return subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=LIMIT, check=False)


def penstock(*words: str, **variables: str) -> tuple[int, str]:
    """Exit code and what is said of a command."""
    done = run("-m", "penstock", *words, **variables)
    return done.returncode, done.stdout + done.stderr


def test_what_needs_no_folder_works() -> None:
    """An embedded pipeline, from both doors; a job that asks for the name of its user fails as anywhere."""
    code, said = penstock("run", "--shell", "id -u; echo {}", ":::", "a")
    assert (code, said.split()[:2]) == (SUCCESS, [str(USER), "a"])
    done = run("-c", PROGRAM)
    assert done.stdout.split()[-1] == "1", done.stderr
    assert done.stdout.split()[0] in {"KeyError", "OSError"}  # of Python 3.11, of 3.13
    code, unit = penstock("print", "systemd", "ventilator", "--url", "tcp://127.0.0.1:5555")
    assert (code, f"User={USER}" in unit) == (SUCCESS, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("status",), "XDG_STATE_HOME, to a folder of its own, or say which pipeline: --url, --bind or PENSTOCK_URL"),
        (("up",), "XDG_STATE_HOME, to a folder of its own, or say which pipeline: --url, --bind or PENSTOCK_URL"),
        (("check",), "XDG_STATE_HOME, to a folder of its own, or name the folder with --data"),
        (("keys", "list"), "XDG_CONFIG_HOME, to a folder of its own, or name the folder of the keys with --keys"),
    ],
)
def test_what_needs_one_says_what_to_set(words: tuple[str, ...], says: str) -> None:
    """In one line."""
    error = f"penstock {' '.join(words)}: the user with number {USER} has no home folder: set HOME, or {says}\n"
    assert penstock(*words) == (WRONG_USE, error)


def test_a_home_in_which_nothing_can_be_made(folder: Path) -> None:
    """As / is: what is kept needs a folder of its own, and `doctor` goes on."""
    folder.chmod(0o755)
    for words, option in ((("sink",), "--data"), (("keys", "init", "tcp://127.0.0.1:5555"), "--keys")):
        code, said = penstock(*words, HOME=str(folder))
        assert (code, f"cannot be made (permission denied): name another folder with {option}" in said) == (
            WRONG_USE,
            True,
        )
    done = run("-m", "penstock", "doctor", "--json")
    found = {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == FAILURE
    assert (found["url"]["state"], found["disk"]["state"], found["slot"]["state"]) == ("wrong", "warn", "ok")
