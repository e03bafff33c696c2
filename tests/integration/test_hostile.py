"""Strangers, thieves and broken peers at a pipeline with keys: what each tries and what it gets, as one table.

A client of the pipeline's maps all the time in a process of its own: the table says how fast that went on beside each.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import zmq

from conftest import Cli, Show
from penstock import Pipeline
from penstock.job.spec import BatchSpec, new_batch_id
from penstock.keys.files import KeyFile, KeyFolder
from penstock.keys.roles import Role
from penstock.url import SOCKET_NAMES
from penstock.wire.desk_messages import BatchClose, BatchOpen, ChunkHead, Refused, Submit, VentilatorToClient
from penstock.wire.frames import PREFIX, SIGNATURE, Decoder, encode
from penstock.wire.messages import Left
from support.keyed_pipeline import LIMITS, door, key_of, knock, knock_at, make_keys, open_files, start, stranger
from support.stations import Stations, until

LIMIT_BYTES = LIMITS.frame_bytes or 0
GROWTH_BYTES = 96 << 20
"""Of a station's memory over all attacks: what an allocator keeps of the largest of them."""
SPARE_FILES = 8
MAP_JOBS = 5000
LOAD = f"""
import sys, time
from penstock import Pipeline
with Pipeline(key=sys.argv[1]) as pipeline:
    while True:
        assert list(pipeline.map(abs, range(-{MAP_JOBS}, 0))) == list(range({MAP_JOBS}, 0, -1))
        print(time.monotonic(), flush=True)
"""
MAPS_BESIDE = 3
"""So many whole maps are seen beside each attack."""
HALF = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE"
"""The beginning of a greeting."""


class Beside:
    """The client that maps; `rate` is told of its work since `mark`."""

    def __init__(self, key: Path, log: Path) -> None:
        self._log = log
        self._marked = 0
        with log.open("wb") as output, log.with_suffix(".err").open("wb") as errors:
            self._process = subprocess.Popen([sys.executable, "-c", LOAD, key], stdout=output, stderr=errors)

    def _ends(self) -> list[float]:
        """When each map had ended."""
        assert self._process.poll() is None, self._log.with_suffix(".err").read_text()
        return [float(line) for line in self._log.read_bytes().rpartition(b"\n")[0].splitlines()]

    def mark(self) -> None:
        """Here an attack begins."""
        self._marked = len(self._ends())

    def rate(self) -> float:
        """Jobs a second since the mark: of whole maps, when some have ended."""
        ends = until(lambda: self._ends() if len(self._ends()) > self._marked + MAPS_BESIDE else [])[self._marked :]
        return MAP_JOBS * (len(ends) - 1) / (ends[-1] - ends[0])

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Scene(NamedTuple):
    """What an attack needs."""

    url: str
    keys: KeyFolder
    admin: Pipeline
    stations: Stations
    cli: Cli

    def key(self, name: str) -> KeyFile:
        """A key by its name."""
        return key_of(self.keys, name)

    @contextlib.contextmanager
    def wire(self, name: str) -> Iterator[socket.socket]:
        """A bare tcp connection to a socket."""
        host, _, base = self.url.removeprefix("tcp://").rpartition(":")
        with socket.create_connection((host, int(base) + SOCKET_NAMES.index(name)), timeout=30) as connection:
            yield connection

    def knock_everywhere(self, key: KeyFile | None) -> str:
        """Whether that key is let in at any of the six sockets; how it learns that it is not is a matter of moments."""
        answers = knock_at(self.url, SOCKET_NAMES, key)
        return said("let in" if answer == "let in" else "kept out" for answer in answers)


def said(answers: Iterator[str]) -> str:
    return ", ".join(sorted(set(answers)))


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes, whatever it sends before."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return True


ATTACKS: dict[str, tuple[Callable[[Scene], str], str]] = {}


def gets(what: str) -> Callable[[Callable[[Scene], str]], Callable[[Scene], str]]:
    """An attack, named by its docstring, and what it must get."""

    def add(attack: Callable[[Scene], str]) -> Callable[[Scene], str]:
        ATTACKS[(attack.__doc__ or "").strip(".")] = (attack, what)
        return attack

    return add


@gets("kept out")
def no_key(scene: Scene) -> str:
    """no key."""
    return scene.knock_everywhere(None)


@gets("kept out")
def wrong_server(scene: Scene) -> str:
    """wrong server key."""
    key, other = scene.key("alice"), stranger(scene.key("alice")).public
    return scene.knock_everywhere(msgspec.structs.replace(key, ventilator=other, sink=other))


@gets("kept out")
def unknown_key(scene: Scene) -> str:
    """unknown key."""
    return scene.knock_everywhere(stranger(scene.key("alice")))


@gets("refused")
def wrong_role(scene: Scene) -> str:
    """right key, wrong role."""
    pairs = [("desk", "gpu"), ("results", "gpu"), ("jobs", "alice"), ("outcomes", "admin"), ("report", "watch")]
    return said(knock(scene.url, name, scene.key(who)) for name, who in pairs)


@gets("let in, then cut off, then refused")
def revoked(scene: Scene) -> str:
    """revoked key, before and during."""
    scene.keys.new(Role.SUBMIT, "thief")
    thief = scene.key("thief")
    until(lambda: knock(scene.url, "desk", thief) == "let in")
    with door(scene.url, "desk", thief) as open_door:
        answers = [open_door.answer()]
        scene.keys.revoke("thief")
        answers.append("cut off" if open_door.got(zmq.Event.DISCONNECTED, 10_000) else "stayed")
    return ", then ".join([*answers, knock(scene.url, "desk", thief)])


@gets("dropped")
def another_id(scene: Scene) -> str:
    """worker id of another key."""
    (worker,) = scene.admin.workers()
    before = scene.admin.status().malformed
    with door(scene.url, "report", scene.key("gpu")) as report:
        assert report.answer() == "let in"
        report.say(Left(bytes.fromhex(worker.id)))
        until(lambda: scene.admin.status().malformed > before)
    return "dropped" if [one.id for one in scene.admin.workers()] == [worker.id] else "believed"


@gets("closed")
def replay(scene: Scene) -> str:
    """recorded session, replayed."""
    recorded = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener, scene.wire("desk") as station:
        live_output = threading.Thread(target=between, args=(listener, station, recorded))
        live_output.start()
        base = f"tcp://127.0.0.1:{listener.getsockname()[1]}"  # the desk is the first of the six
        assert knock(base, "desk", scene.key("admin")) == "let in"
        live_output.join(10)
    with scene.wire("desk") as again:
        again.sendall(recorded)
        return "closed" if is_closed(again) else "open"


def between(listener: socket.socket, station: socket.socket, recorded: bytearray) -> None:
    """Pass bytes on in both directions, and keep those of whoever connected."""
    peer, _ = listener.accept()
    with peer:
        back = threading.Thread(target=pass_on, args=(station, peer, bytearray()))
        back.start()
        pass_on(peer, station, recorded)
        back.join(10)


def pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            kept += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@gets("accepted once")
def replayed_frames(scene: Scene) -> str:
    """a submit, said 100 times."""
    batch = new_batch_id()
    opened, closed = BatchOpen(batch, BatchSpec(), bytes(16), 1), BatchClose(batch, 2)
    frame = encode(Submit(1, (opened,), (ChunkHead(batch, 0, 2, 4),), (closed,)), b"fargs")
    with door(scene.url, "desk", scene.key("admin")) as desk:
        assert desk.answer() == "let in"
        for _ in range(100):
            desk.socket.send(frame)
        desk.socket.set(zmq.RCVTIMEO, 30_000)
        for _ in range(100):
            desk.socket.recv()
    status = scene.admin.attach(batch.hex()).status()
    scene.admin.cancel(batch.hex())
    return f"accepted {'once' if (status.accepted, status.total) == (2, 2) else 'again'}"


@gets("refused")
def options(scene: Scene) -> str:
    """options that cannot be."""
    wrong = (BatchSpec(retry_delay=math.nan), BatchSpec(not_before_time=1e300), BatchSpec(name="x" * 10_000))
    answers = []
    with door(scene.url, "desk", scene.key("alice")) as desk:
        assert desk.answer() == "let in"
        desk.socket.set(zmq.RCVTIMEO, 30_000)
        for number, spec in enumerate(wrong, 1):
            desk.say(Submit(number, (BatchOpen(new_batch_id(), spec, bytes(16), 1),), (), ()), b"f")
            answer = Decoder(VentilatorToClient).decode(desk.socket.recv()).message
            answers.append("refused" if isinstance(answer, Refused) and answer.number == number else str(answer))
    return said(iter(answers))


@gets("closed")
def noise(scene: Scene) -> str:
    """random bytes on each port."""
    for name in SOCKET_NAMES:
        for data in (os.urandom(1 << 16), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" + bytes(512), b"\xff"):
            with scene.wire(name) as connection:
                with contextlib.suppress(OSError):
                    connection.sendall(data)
                assert is_closed(connection)
    return "closed"


@gets("closed")
def half_handshakes(scene: Scene) -> str:
    """300 half handshakes."""
    return flood(scene, HALF, 300)


@gets("closed")
def silence(scene: Scene) -> str:
    """2,000 silent connections."""
    return flood(scene, b"", 2000)


def flood(scene: Scene, data: bytes, count: int) -> str:
    with contextlib.ExitStack() as opened:
        crowd = []
        for number in range(count):
            connection = opened.enter_context(scene.wire(SOCKET_NAMES[number % 6]))
            with contextlib.suppress(OSError):
                connection.sendall(data)
            crowd.append(connection)
        until(lambda: open_files(scene.stations.processes["ventilator"].pid) < 6 * (LIMITS.connections + 20))
        assert scene.admin.submit(abs, -1).result(30) == 1
        return "closed" if all(is_closed(connection) for connection in crowd) else "open"


@gets("one byte less: dropped; one frame over the limit: cut off")
def too_long(scene: Scene) -> str:
    """frame over the limit."""
    before = scene.admin.status().malformed
    with door(scene.url, "desk", scene.key("alice")) as desk:
        assert desk.answer() == "let in"
        desk.socket.send(bytes(LIMIT_BYTES))
        until(lambda: scene.admin.status().malformed > before)
        desk.socket.send(bytes(LIMIT_BYTES + 1))
        cut = desk.got(zmq.Event.DISCONNECTED, 10_000)
    return f"one byte less: dropped; one frame over the limit: {'cut off' if cut else 'taken'}"


@gets("dropped")
def nesting(scene: Scene) -> str:
    """nesting of 100,000."""
    return dropped(scene, *([framed(opening * 100_000)] for opening in (b"\x91", b"\x81\xa1a")))


@gets("dropped")
def claims(scene: Scene) -> str:
    """claimed lengths of 4 GB."""
    return dropped(scene, *([framed(sign + b"\xff" * 4 + b"x")] for sign in (b"\xdd", b"\xdf", b"\xc6", b"\xdb")))


@gets("dropped")
def frames(scene: Scene) -> str:
    """message of 100,000 frames."""
    return dropped(scene, [b""] * 100_000)


@gets("dropped")
def control_characters(scene: Scene) -> str:
    """control characters for a message."""
    return dropped(scene, [b"\x1b[31m\x1b]0;x\x07\r\n\x00\x85\xe2\x80\xa8"], [framed(b"\x92\xb0\x1b[2J" + b"\n" * 12)])


@gets("shown escaped")
def names(scene: Scene) -> str:
    """control characters in a name."""
    scene.admin.batch(abs, [1], name="\x1b[31m\x07\n\u202ered").wait(30)
    shown = scene.cli("batches", "--key", str(scene.keys.path)).stdout
    return "shown as they are" if {*shown} & {0x1B, 7} or "\u202e".encode() in shown else "shown escaped"


def framed(header: bytes) -> bytes:
    return PREFIX.pack(SIGNATURE, len(header)) + header


def dropped(scene: Scene, *messages: list[bytes]) -> str:
    """From a holder of a key, at the desk."""
    before = scene.admin.status().malformed
    with door(scene.url, "desk", scene.key("alice")) as desk:
        assert desk.answer() == "let in"
        for message in messages:
            desk.socket.send_multipart(message)
        until(lambda: scene.admin.status().malformed >= before + len(messages))
    return "dropped"


def test_each_gets_what_it_deserves(folder: Path, url: str, stations: Stations, cli: Cli, show: Show) -> None:
    """The table is as it must be; jobs go on beside each; files and memory come back; logs stay lines of text."""
    keys = make_keys(folder, url)
    start(stations, keys, "w1")
    beside = Beside(keys.path / "admin.key", folder / "beside")
    try:
        with Pipeline(key=keys.path / "admin.key") as admin:
            assert_table(Scene(url, keys, admin, stations, cli), beside, show)
    finally:
        beside.end()
    for station in ("ventilator", "sink", "w1"):
        log = stations.log(station).read_bytes()
        assert b"Traceback" not in log
        assert not set(log) & set(range(32)) - {10}
        assert max(map(len, log.splitlines())) < 4000


def assert_table(scene: Scene, beside: Beside, show: Show) -> None:
    """One attack after the other, each with what it got and what it left."""
    beside.mark()
    lines = [f"{'undisturbed':34} {'':62} {beside.rate():>9,.0f} jobs/s"]
    processes = [psutil.Process(scene.stations.processes[name].pid) for name in ("ventilator", "sink")]
    files = [open_files(process.pid) for process in processes]
    memory = [process.memory_info().rss for process in processes]
    table: dict[str, str] = {}
    for name, (attack, _) in ATTACKS.items():
        beside.mark()
        table[name] = attack(scene)
        lines.append(f"{name:34} {table[name]:62} {beside.rate():>9,.0f} jobs/s  {left(processes, files, memory)}")
    show("what each got, and how fast a client's jobs went on beside it", "\n".join(lines))
    assert table == {name: what for name, (_, what) in ATTACKS.items()}
    until(lambda: all(open_files(p.pid) <= n + SPARE_FILES for p, n in zip(processes, files, strict=True)))
    assert [p.memory_info().rss < n + GROWTH_BYTES for p, n in zip(processes, memory, strict=True)] == [True] * 2


def left(processes: list[psutil.Process], files: list[int], memory: list[int]) -> str:
    """What the stations have more than at first."""
    more_files = sum(open_files(process.pid) for process in processes) - sum(files)
    more_bytes = sum(process.memory_info().rss for process in processes) - sum(memory)
    return f"{more_files:+5} files {more_bytes / (1 << 20):+6.1f} MiB"


def test_a_door_opens_for_a_while_only(folder: Path, url: str, stations: Stations) -> None:
    """Half a handshake, one byte at a time: cut off when its time is over, however busy it looks."""
    start(stations, make_keys(folder, url))
    host, _, base = url.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(base)), timeout=30) as slow:
        for byte in struct.pack(">Q", 0xFF00000000000000):
            with contextlib.suppress(OSError):
                slow.sendall(bytes([byte]))
        assert is_closed(slow)


def test_nothing_is_let_in_by_saying_null(folder: Path, url: str, stations: Stations) -> None:
    """A whole handshake without a key, by hand, at each socket: closed before a message is read."""
    start(stations, make_keys(folder, url))
    host, _, base = url.removeprefix("tcp://").rpartition(":")
    for port in range(int(base), int(base) + len(SOCKET_NAMES)):
        with socket.create_connection((host, port), timeout=30) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 1 + 31))
                connection.sendall(b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH")
            assert is_closed(connection)
