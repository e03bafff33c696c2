"""A client that asks and reads nothing: ``python -m support.deaf_client KEY ENDPOINT NAME COUNT``, with the frames that
each of COUNT connections says on stdin, a line of hex for each. It is a process of its own because ZeroMQ's library can
abort when a connection is cut that it does not read from."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import zmq

from penstock.keys.files import load
from penstock.keys.roles import Role
from penstock.url import SOCKET_NAMES
from penstock.wire.frames import encode
from penstock.wire.guard import Security
from penstock.wire.records import Message


@contextlib.contextmanager
def deaf_client(key: Path, url: str, name: str, count: int, messages: Iterable[Message]) -> Iterator[None]:
    """One while the block runs."""
    host, _, base = url.rpartition(":")
    argv = [str(key), f"{host}:{int(base) + SOCKET_NAMES.index(name)}", name, str(count)]
    folder = str(Path(__file__).parent.parent)
    with subprocess.Popen([sys.executable, "-m", __name__, *argv], stdin=subprocess.PIPE, cwd=folder) as process:
        assert process.stdin is not None
        process.stdin.write(b"".join(encode(message).hex().encode() + b"\n" for message in messages))
        process.stdin.close()
        try:
            yield
        finally:
            process.kill()


def main(key: str, endpoint: str, name: str, count: str) -> None:
    """Ask, and be there until killed: only its own heartbeats tell that it lives."""
    frames = [bytes.fromhex(line) for line in sys.stdin]
    sockets: list[zmq.Socket[bytes]] = []
    for _ in range(int(count)):
        sockets.append(zmq.Context.instance().socket(zmq.DEALER))
        Security(load(Path(key), *Role)).on_connect(sockets[-1], name)
        for option, value in (
            (zmq.RCVHWM, 1),
            (zmq.RCVBUF, 1 << 16),
            (zmq.HEARTBEAT_IVL, 300),
            (zmq.HEARTBEAT_TIMEOUT, 600_000),
            (zmq.RECONNECT_IVL, -1),
        ):
            sockets[-1].set(option, value)
        sockets[-1].connect(endpoint)
        for frame in frames:
            sockets[-1].send(frame)
    while True:
        time.sleep(60.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
