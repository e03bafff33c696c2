"""The README is true: its python and console blocks run, and print what they say they print."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import cli
from support.stations import LIMIT, free_url

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def in_shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with penstock on its PATH; whatever it left in the background is ended with it."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if "penstock up" in script:
        environment["PENSTOCK_URL"] = free_url()
    process = subprocess.Popen(
        ["bash", "-e", "-c", script + '\n[ -z "$(jobs -p)" ] || { kill $(jobs -p); wait; }'],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=2 * LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(script, process.returncode, out, err)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_block_runs(block: str, folder: Path) -> None:
    """A Python block is a program that runs as printed."""
    (folder / "block.py").write_text(block)
    program = "-m pytest -q -p no:cacheprovider" if "import penstock, pytest" in block else ""
    done = in_shell(f"python -W error {program} block.py", folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", blocks("console"))
def test_console_block_prints_what_it_shows(block: str, folder: Path) -> None:
    """The commands of a console block print the lines below them."""
    lines = block.splitlines()
    script = "\n".join(line[2:] for line in lines if line.startswith("$ "))
    done = in_shell(script, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [line for line in lines if not line.startswith("$ ")]


def test_every_command_is_in_the_readme() -> None:
    """What the command line can do is written down."""
    table = "\n".join(re.findall(r"^\| `penstock .*", README, re.MULTILINE))
    for name in cli.group.commands:
        assert re.search(rf"\b{name}\b", table), name


def test_scripts_of_the_readme_exist() -> None:
    """The commands that are not run here, because this is one of them, are there and can be run."""
    for path in set(re.findall(r"scripts/[a-z-]+", README)):
        assert os.access(TOP / path, os.X_OK), path


def test_examples_of_the_readme_are_there() -> None:
    """Each one in the package is told of."""
    told = set(re.findall(r"`([a-z]+)`", README[README.index("Examples that run") :].split("\n\n")[0]))
    assert told | {"ten"} == {path.stem for path in (TOP / "src/penstock/examples").glob("[a-z]*.py")} - {"timeline"}
