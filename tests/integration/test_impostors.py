"""Another user of this machine takes the place of the stations: nobody says a word to them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.stations import LIMIT, until

IMPOSTOR = """
import os, sys, zmq
os.setuid(65534)
os.makedirs(sys.argv[1], exist_ok=True)
kinds = {"desk": zmq.ROUTER, "report": zmq.PULL, "jobs": zmq.PUSH, "outcomes": zmq.PULL, "control": zmq.XPUB}
poller = zmq.Poller()
for name, kind in (kinds | {"results": zmq.ROUTER}).items():
    socket = zmq.Context.instance().socket(kind)
    socket.bind(f"ipc://{sys.argv[1]}/{name}")
    if kind != zmq.PUSH:
        poller.register(socket, zmq.POLLIN)
print("bound", flush=True)
poller.poll()
print("heard", flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
@pytest.mark.parametrize("command", ["status --url URL", "worker --connect URL --slots 1"])
def test_who_connects_to_sockets_of_another_user_is_told_and_says_nothing(folder: Path, command: str) -> None:
    """In a folder of root's that is open to all, like /tmp: a client and a worker end with exit code 4. (A sink binds
    there first, and stations bind in no such folder.)"""
    folder.chmod(0o755)
    place = folder / "open"
    place.mkdir()
    place.chmod(0o1777)
    with subprocess.Popen([sys.executable, "-c", IMPOSTOR, place], stdout=subprocess.PIPE, text=True) as impostor:
        assert impostor.stdout is not None
        assert impostor.stdout.readline() == "bound\n"
        words = [f"ipc://{place}" if word == "URL" else word for word in command.split()]
        argv = [sys.executable, "-m", "penstock", *words]
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(argv, cwd=folder, stdout=said, stderr=said)
        until(lambda: process.poll() is not None or impostor.poll() is not None, LIMIT, "it ends, or says something")
        process.kill()
        impostor.kill()
        assert impostor.stdout.read() == ""
    text = (folder / "said").read_text()
    assert process.wait() == 4, text
    assert f"ipc://{place}: {place}/" in text
    assert "belongs to the user nobody, who could run code as you through it" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_a_folder_that_became_another_users_is_noticed_at_the_next_connection(folder: Path) -> None:
    """A worker that waits makes the folder where others could; if it is taken away and theirs is there, the worker ends
    as soon as it is connected."""
    folder.chmod(0o755)
    place = folder / "open" / "sockets"
    place.parent.mkdir()
    place.parent.chmod(0o1777)
    argv = [sys.executable, "-m", "penstock", "worker", "--connect", f"ipc://{place}", "--slots", "1"]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(argv, cwd=folder, stdout=said, stderr=said)
    until(lambda: "joining" in (folder / "said").read_text(), what="it waits")
    place.rmdir()
    with subprocess.Popen([sys.executable, "-c", IMPOSTOR, place], stdout=subprocess.DEVNULL) as impostor:
        assert process.wait(LIMIT) == 4
        impostor.kill()
    assert f"{place} belongs to the user nobody, who could run code as you" in (folder / "said").read_text()
