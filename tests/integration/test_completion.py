"""`penstock completion`: the printed script in a real shell, against real stations."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Cli
from penstock import Pipeline
from support.keyed_pipeline import make_keys
from support.stations import LIMIT, Stations, until

COMPLETE = """
eval "$(penstock completion bash)"
compopt() { COMPREPLY+=("$2"); }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_penstock_completion penstock
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words: str) -> list[str]:
    """What bash offers for the last of these words, cut as bash cuts them; nothing may be said on stderr."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    argv = ["bash", "-c", COMPLETE, "bash", "penstock", *words]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if line]


def test_commands_options_and_choices() -> None:
    """As far as the word has come."""
    assert completed("stat") == ["status"]
    assert completed("fleet", "") == ["start", "status", "stop"]
    assert completed("run", "--joblo") == ["--joblog"]
    assert set(completed("keys", "new", "")) == {"work", "submit", "observe", "admin"}
    assert completed("batches", "--state", "wa") == ["waiting"]


def test_files_and_programs() -> None:
    """The shell completes files itself; COMMAND is a program, and behind it nothing is an option of ours."""
    files = ["default"]
    assert completed("run", "--joblog", "x") == completed("fleet", "start", "") == completed("run", "./a") == files
    assert completed("run", "--results", "") == ["dirnames"]
    assert "gzip" in completed("run", "-k", "gzi")
    assert completed("run", "gzip", "-") == completed("submit", "gzip", ":::", "gzi") == files


def test_batches_and_workers_that_there_are(stations: Stations, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    """By name and by id, of the pipeline that the environment or the line itself names; not what must be quoted."""
    stations.start("ventilator", "sink", "w1")
    with Pipeline(stations.url) as pipeline:
        until(pipeline.workers, what="the worker has joined")
        ids = [pipeline.batch(["true"], ["x"], name=name).id for name in ("nightly", "two words")]
    base = stations.url.removeprefix("tcp://127.0.0.1:")
    assert completed("results", "--url", "tcp", ":", "//127.0.0.1", ":", base, "n") == ["nightly"]
    monkeypatch.setenv("PENSTOCK_URL", stations.url)
    assert sorted(completed("results", "")) == sorted(["last", "nightly", *ids])
    assert completed("show", ids[0][:31]) == [ids[0]]
    assert completed("drain", "") == completed("run", "--worker", "w") == ["w1"]


def test_keys_that_were_given_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those that were revoked."""
    made = make_keys(folder, "tcp://127.0.0.1:5555")
    made.revoke("watch")
    monkeypatch.setenv("PENSTOCK_KEYS", str(made.path))
    assert set(completed("keys", "revoke", "")) >= {"alice", "gpu"}
    assert completed("keys", "revoke", "watc") == []


def test_pages_of_the_manual() -> None:
    """As far as the word has come; no pipeline is asked."""
    assert completed("guide", "from") == ["from-gnu-parallel", "from-multiprocessing", "from-celery"]


@pytest.mark.parametrize("url", ["", "nonsense", "tcp://127.0.0.1:1"])
def test_no_pipeline_is_an_empty_answer(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Quietly; so is a key that cannot be read."""
    monkeypatch.setenv("PENSTOCK_URL", url)
    assert completed("results", "") == []
    monkeypatch.setenv("PENSTOCK_KEY", str(folder / "none"))
    assert completed("drain", "") == []


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not here")
def test_fish_too() -> None:
    """With what each of them is."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = 'penstock completion fish | source; complete -C "penstock stat"'
    done = subprocess.run(["fish", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "status\tShow the state of the pipeline.\n"


@pytest.mark.parametrize("shell", ["zsh", "fish", "bash"])
def test_each_shell_takes_its_script(shell: str, cli: Cli, folder: Path) -> None:
    """It has no syntax that this shell does not know."""
    script = folder / "script"
    script.write_bytes(cli("completion", shell).stdout)
    assert b"_PENSTOCK_COMPLETE" in script.read_bytes()
    if shutil.which(shell):
        subprocess.run([shell, "-n", script], check=True)


def test_another_shell_is_wrong_use(cli: Cli) -> None:
    """Exit code 2, with those that there are."""
    done = cli("completion", "csh")
    assert done.returncode == 2
    assert b"'bash', 'zsh', 'fish'" in done.stderr
