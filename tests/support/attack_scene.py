"""A pipeline with keys under attack: what an honest client has there, and who judges whether it was harmed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from penstock import Pipeline
from penstock.adapters.finished_queue import claim
from penstock.client import Batch
from penstock.client.batch import find_batches
from penstock.errors import PenstockError
from penstock.keys.files import KeyFile, KeyFolder
from penstock.keys.roles import Role
from penstock.wire.bounds import Limits
from penstock.wire.frames import Decoder, encode
from penstock.wire.messages import Fetch, Fetched, LiveAck, Prints, SinkToClient
from support.keyed_pipeline import Door, door, key_of, make_keys
from support.stations import LIMIT, Stations, until

LEASE_TIME, HEARTBEAT_INTERVAL = 2.0, 0.4
"""So that a worker that says nothing is lost while an attack is judged."""
LIMITS = Limits(frame_bytes=4 << 20, handshake_time=2.0, connections=60)
"""Small enough to be reached by a test."""
GROWTH_BYTES = 160 << 20
"""Of a station's memory over all attacks of a scene: what an allocator keeps of the largest of them. The bounds by
size, per connection and key, that are being made will let it be less."""
LINE_CHARS = 4000
"""Of a log line (LOG_CHARS)."""
WORKER = "workers/w1"
OWN = b"o" * 16
"""A worker's id of the key gpu's."""


class Attack(NamedTuple):
    """One line of the table: who tries what, and what is right. `run` says what came of it."""

    role: str
    tries: str
    right: str
    run: Callable[[Scene], str]

    @property
    def name(self) -> str:
        """As pytest calls it."""
        return f"{self.role}: {self.tries}"


class Attacks(list[Attack]):
    """The lines of one test module, in order."""

    def add(self, role: str, right: str) -> Callable[[Callable[[Scene], str]], Callable[[Scene], str]]:
        """A function is an attack: its docstring says what is tried."""

        def added(run: Callable[[Scene], str]) -> Callable[[Scene], str]:
            self.append(Attack(role, (run.__doc__ or "").strip().rstrip("."), right, run))
            return run

        return added


def holding(gate: str, trace: str) -> str:
    """A job that leaves a line at each start, and ends when there is a gate."""
    with open(trace, "a") as file:
        file.write("started\n")
    while not os.path.exists(gate):
        time.sleep(0.02)
    return "kept"


class Scene:
    """Stations with keys, an honest client (alice), an admin, and a worker; strangers have keys of their own: ``bob``
    (submit), ``watch`` (observe), ``gpu`` (work)."""

    def __init__(self, folder: Path, url: str, stations: Stations | None = None) -> None:
        self.folder = folder
        self.url = url
        self.keys: KeyFolder = make_keys(folder, url)
        self.keys.new(Role.SUBMIT, "bob")
        self.stations = stations or Stations(
            folder, url, lease_time=LEASE_TIME, heartbeat_interval=HEARTBEAT_INTERVAL, limits=LIMITS
        )
        self._opened = contextlib.ExitStack()
        self._treasures = 0
        self._asked = 0
        self.answers: dict[str, list[str]] = {}
        """What each role got at the six sockets."""

    def up(self, **worker: Any) -> Scene:
        """Start all, and give alice something to lose. `worker`: settings of w1."""
        key = str(self.keys.path)
        self.stations.start("ventilator", "sink", key=key)
        self.stations.start("w1", slots=2, key=key, **worker)
        self.admin = self._opened.enter_context(Pipeline(key=self.keys.path / "admin.key"))
        self.alice = self._opened.enter_context(Pipeline(key=self.keys.path / "alice.key"))
        until(self.admin.workers)
        self._began = {name: psutil.Process(one.pid).memory_info().rss for name, one in self._stations()}
        self.bury()
        return self

    def bury(self) -> None:
        """What an attack may not touch: jobs that have ended, one that runs and may do so once, and one that waits."""
        self._treasures += 1
        name = f"treasure{self._treasures}"
        self.trace, self.gate = self.folder / f"{name}.trace", self.folder / f"{name}.gate"
        self.ended: Batch[int] = self.alice.batch(abs, [-1, -2, -3], name=name)
        self.ended.wait(LIMIT)
        self.running: Batch[str] = self.alice.batch(holding, [str(self.gate)], [str(self.trace)], max_crashes=1)
        self.waiting: Batch[int] = self.alice.batch(abs, [-4], needs="nowhere")
        until(lambda: self.trace.exists() and self.running.status().running == 1)
        self.worker: bytes = bytes.fromhex(self.admin.workers()[0].id)
        self.lease: int = self._last_lease() + 1
        self._owned = self._files()
        self.mark()

    def _last_lease(self) -> int:
        """The number of the lease of what has ended: the one that runs has a later one."""
        with door(self.url, "results", self.key("admin")) as results:
            assert results.answer() == "let in"
            results.say(Fetch(1, bytes.fromhex(self.ended.id), 0, 3))
            answer = until(lambda: results.socket.recv() if results.socket.poll(1000) else b"")
        fetched = Decoder(SinkToClient).decode(answer).message
        assert isinstance(fetched, Fetched)
        return max(record.lease for record in fetched.records)

    # ------------------------------------------------------------------------------------------ at hand

    def key(self, name: str) -> KeyFile:
        """A key by its name."""
        return key_of(self.keys, name)

    @property
    def loot(self) -> bytes:
        """The batch that has ended."""
        return bytes.fromhex(self.ended.id)

    def log(self, station: str) -> bytes:
        """What a station has logged since the mark."""
        return self.stations.log(station).read_bytes()[self._marks.get(station, 0) :]

    def mark(self) -> None:
        """Here an attack begins."""
        self._marks = {name: self.stations.log(name).stat().st_size for name, _ in self._stations()}

    def pid(self, station: str) -> int:
        """Of a station's process."""
        return self.stations.processes[station].pid

    def _stations(self) -> Iterator[tuple[str, Any]]:
        yield from self.stations.processes.items()

    def _files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.suffix not in {".log", ".gate"})

    # ------------------------------------------------------------------------------------------ the judge

    def harm(self) -> list[str]:
        """What an attack has done that it may not; none: it was harmless."""
        found = list(self._harm_to_stations())
        if not any(process.poll() is not None for _, process in self._stations()):
            try:
                found += self._harm_to_jobs()
            except PenstockError as error:
                found.append(f"an honest client is told: {error}")
        return [*found, *self._harm_to_logs()]

    def _harm_to_stations(self) -> Iterator[str]:
        for name, process in self._stations():
            if (code := process.poll()) is not None:
                yield f"{name} has ended with {code}"
            elif (grown := psutil.Process(process.pid).memory_info().rss - self._began[name]) > GROWTH_BYTES:
                yield f"{name} has grown by {grown >> 20} MiB"

    def _harm_to_jobs(self) -> Iterator[str]:
        if self.alice.submit(abs, -7).result(LIMIT) != 7:
            yield "an honest job has another value"
        values = [outcome.value for outcome in self.alice.attach(self.ended.id).outcomes()]
        if values != [1, 2, 3]:
            yield f"what had ended is {values}"
        starts = self.trace.read_text().count("started")
        running = self.running.status()
        at = [job.worker for job in self.running.jobs()]
        if (starts, at, running.running, running.leased) != (1, [WORKER], 1, 1):
            yield f"what ran was started {starts} times, is at {at}, and is {running}"
        if (waiting := self.waiting.status()).cancelled or waiting.accepted - waiting.leased != 1 or waiting.total != 1:
            yield f"what waited is {waiting}"
        if claims := self.claims():
            yield f"outcomes were given to others: {claims}"
        try:  # who joined with a key of its own is lost when it falls silent
            until(lambda: [worker.name for worker in self.admin.workers()] == [WORKER], 3 * LEASE_TIME)
        except AssertionError:
            yield f"the workers are {self.admin.workers()}"
        if (files := self._files()) != self._owned:
            yield f"the folder has {files}"

    def claims(self) -> int:
        """How many outcomes of what has ended were given to readers: asked for as one who has received none."""
        session = self.alice.engine.session
        assert session is not None
        (line,) = find_batches(session, self.ended.id, 1)
        return claim(session, line, bytes(16), 0).stop

    def _harm_to_logs(self) -> Iterator[str]:
        for name, _ in self._stations():
            log = self.log(name)
            if b"Traceback" in log:
                yield f"{name} has failed: {log[log.index(b'Traceback') :][:2000]!r}"
            if set(log) & (set(range(32)) - {10} | {127}) or not log.isascii():
                yield f"{name} has logged control characters"
            if max(map(len, log.splitlines()), default=0) > LINE_CHARS:
                yield f"{name} has logged a line without end"
            if name == "ventilator" and b" worker_lost: " in log and WORKER.encode() in log:
                yield "the worker was lost"

    def noticed(self, station: str, words: bytes, again: Callable[[], object] = lambda: None) -> str:
        """Wait until a station has logged this; `again`: what is said until then, as similar lines are logged once in a
        while only."""

        def look() -> bool:
            again()
            return words in self.log(station)

        until(look, LIMIT, f"{station} logs {words!r}")
        return "dropped"

    def taken(self, outcomes: Door) -> str:
        """Wait until the sink has read what was said at this door by the key gpu: what is said there next is answered,
        by way of the ventilator."""
        self._asked += 1
        with door(self.url, "control", self.key("gpu"), OWN) as control:
            assert control.answer() == "let in"
            until(lambda: control.socket.poll(1000) and control.socket.recv())  # the greeting
            outcomes.say(Prints(OWN, "gpu/own", (), (), self._asked))
            ack = encode(LiveAck(self._asked), topic=OWN)
            until(lambda: control.socket.poll(1000) and control.socket.recv() == ack, LIMIT, "the sink answers")
        return "dropped"

    def close(self) -> None:
        """Let what runs end, and stop everything."""
        for gate in range(1, self._treasures + 1):
            (self.folder / f"treasure{gate}.gate").touch()
        with contextlib.suppress(Exception):
            self.admin.cancel(self.waiting.id)
        self._opened.close()
        self.stations.close()


def assert_harmless(attack: Attack, scene: Scene, show: Callable[[str, str], None]) -> None:
    """The attack comes to what is right, and nobody is harmed."""
    scene.mark()
    outcome = attack.run(scene)
    harm = scene.harm()
    show("who tried what, and what came of it", f"{attack.role:20} {attack.tries:68} {outcome}")
    assert (outcome, harm) == (attack.right, []), f"{outcome!r} is not {attack.right!r}, or there is harm: {harm}"
