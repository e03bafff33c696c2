"""How far it goes: a thousand workers, ten million queued jobs, and processes that are killed meanwhile."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import zmq

from bench_parts import NewRow, Stations, await_workers, cpu_seconds, increment, square, stations
from penstock import Pipeline
from penstock.job import payload
from penstock.job.spec import BatchSpec, new_batch_id
from penstock.url import endpoints
from penstock.version import VERSION
from penstock.wire.desk_messages import Accepted, BatchClose, BatchOpen, ChunkHead, Program, Submit, VentilatorToClient
from penstock.wire.frames import Decoder, encode

CHUNK = 100
"""Jobs in a chunk of the deep queue: a ten thousandth of what `map` would make of ten million."""
SUBMIT_CHUNKS = 200
UNDER_WAY = 4
"""Submits that are not answered yet."""
KILL_INTERVAL = 10.0
PROGRAM = Program(VERSION, "", 0)
"""This one: to a client that does not say which it is the ventilator says what it thinks of that first."""


class Desk:
    """A client of the ventilator alone: it submits, and waits for nothing else."""

    def __init__(self, url: str) -> None:
        self.batch = new_batch_id()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(endpoints(url).desk)
        self._decoder = Decoder(VentilatorToClient)
        self._number = self._answered = 0
        self._jobs = 0
        code = payload.dumps(square)
        digest = hashlib.blake2b(code, digest_size=16).digest()
        self._send((BatchOpen(self.batch, BatchSpec(), digest, len(code)),), (), (), code)
        self._await(0)

    def fill(self, jobs: int) -> float:
        """Have so many more accepted; jobs/s."""
        begun = time.perf_counter()
        arguments = payload.chunk_blob("item", list(range(CHUNK)), "pickle")
        end = self._jobs + jobs
        while self._jobs < end:
            firsts = range(self._jobs, min(end, self._jobs + CHUNK * SUBMIT_CHUNKS), CHUNK)
            chunks = tuple(ChunkHead(self.batch, first, CHUNK, len(arguments)) for first in firsts)
            self._jobs = firsts[-1] + CHUNK
            self._send((), chunks, (), arguments * len(chunks))
            self._await(UNDER_WAY)
        self._await(0)
        return jobs / (time.perf_counter() - begun)

    def finish(self) -> None:
        """No more will come."""
        self._send((), (), (BatchClose(self.batch, self._jobs),), b"")
        self._await(0)
        self._context.destroy(0)

    def _send(
        self,
        opens: tuple[BatchOpen, ...],
        chunks: tuple[ChunkHead, ...],
        closes: tuple[BatchClose, ...],
        body: bytes,
    ) -> None:
        self._number += 1
        message = Submit(self._number, opens, chunks, closes, PROGRAM if opens else None)
        self._socket.send(encode(message, body))

    def _await(self, under_way: int) -> None:
        while self._number - self._answered > under_way:
            answer = self._decoder.decode(self._socket.recv()).message
            assert isinstance(answer, Accepted), answer
            self._answered = answer.number


class Scale:
    """The measurements; `short` takes smaller ones."""

    def __init__(self, row: NewRow, *, short: bool) -> None:
        self._row = row
        self._short = short

    def players(self) -> None:
        """The same work for two workers and for a thousand, all played by one process."""
        many, jobs = (200, 500_000) if self._short else (1000, 3_000_000)
        row = self._row(f"squares, 1,000 a chunk, {many:,} played workers / 2", "jobs/s", "more", 0.8)
        for _ in range(1 if self._short else 3):
            for count, rates, cpu in ((2, row.theirs, row.their_cpu), (many, row.ours, row.our_cpu)):
                self._played(count, jobs, rates, cpu)

    @staticmethod
    def _played(count: int, jobs: int, rates: list[float], cpu: list[float]) -> None:
        script = Path(__file__).with_name("bench_players.py")
        with stations() as running:
            process = subprocess.Popen([sys.executable, script, running.url, str(count)])
            try:
                with running.client() as pipeline:
                    await_workers(pipeline, count)
                    wanted = sum(x * x for x in range(jobs))
                    sum(pipeline.map(square, range(jobs // 10), chunksize=1000))
                    for _ in range(2):
                        used, begun = cpu_seconds(), time.perf_counter()
                        assert sum(pipeline.map(square, range(jobs), chunksize=1000)) == wanted
                        rates.append(jobs / (time.perf_counter() - begun))
                        cpu.append((cpu_seconds() - used) / jobs * 1e6)
            finally:
                process.kill()
                process.wait()

    def accepting(self) -> None:
        """Single jobs, each on the disk before it is acknowledged."""
        jobs = 20_000 if self._short else 100_000
        row = self._row(f"durable accepting of {jobs:,} single jobs / 20,000", "jobs/s", "more", 1.0)
        with stations() as running, running.client() as pipeline:
            for _ in range(1 if self._short else 3):
                begun = time.perf_counter()
                for number in range(jobs):
                    pipeline.submit(increment, number)
                pipeline.flush()
                row.ours.append(jobs / (time.perf_counter() - begun))
                row.theirs.append(20_000)
            pipeline.shutdown(wait=False, cancel_futures=True)

    def queued(self) -> None:
        """A deep queue: accepting into it, holding it, starting with it."""
        jobs = 200_000 if self._short else 10_000_000
        accepting = self._row(f"accepting at {jobs:,} queued jobs / at none", "jobs/s", "more", 0.8)
        memory = self._row(f"RSS of the ventilator with {jobs:,} queued jobs / 300 MB", "MB", "less", 1.0)
        restart = self._row(f"kill -9 with {jobs:,} queued jobs to the first outcome / 5 s", "s", "less", 1.0)
        with stations() as running:
            desk = Desk(running.url)
            part = jobs // 20
            desk.fill(part)
            accepting.theirs += [desk.fill(part) for _ in range(5)]
            desk.fill(jobs - 11 * part)
            accepting.ours += [desk.fill(part) for _ in range(5)]
            desk.finish()
            memory.ours.append(psutil.Process(running.processes["ventilator"].pid).memory_info().rss / 1e6)
            memory.theirs.append(300)
            running.kill("ventilator")
            running.start("w0", "--slots", "2")
            begun = time.perf_counter()
            running.start("ventilator")
            with running.client() as pipeline:
                first = next(iter(pipeline.attach(desk.batch.hex()).follow()))
                assert first.value == (first.index % CHUNK) ** 2
                restart.ours.append(time.perf_counter() - begun)
                restart.theirs.append(5)
                pipeline.cancel(desk.batch.hex())

    def killing(self) -> None:
        """Squares while a random process is killed again and again, and started again at once."""
        seconds, jobs, interval = (4.0, 200_000, 3.0) if self._short else (6 * KILL_INTERVAL, 1_000_000, KILL_INTERVAL)
        row = self._row(f"{jobs:,} squares, a kill -9 every {interval:g} s / undisturbed", "jobs/s", "more", 0.5)
        with stations() as running:
            running.start("w0", "--slots", "2")
            with running.client() as pipeline:
                await_workers(pipeline, 1)
                row.theirs.append(_squares_for(pipeline, seconds / 2, jobs))
                over = threading.Event()
                killer = threading.Thread(target=_kill_some, args=(running, over, interval))
                killer.start()
                try:
                    row.ours.append(_squares_for(pipeline, seconds, jobs))
                finally:
                    over.set()
                    killer.join()


def _squares_for(pipeline: Pipeline, seconds: float, jobs: int) -> float:
    """Jobs/s of one map after the other."""
    wanted, done = sum(x * x for x in range(jobs)), 0
    begun = time.perf_counter()
    while time.perf_counter() < begun + seconds:
        assert sum(pipeline.map(square, range(jobs))) == wanted
        done += jobs
    return done / (time.perf_counter() - begun)


def _kill_some(running: Stations, over: threading.Event, interval: float) -> None:
    """What dies is started again at once; a slot is by its worker."""
    chance = random.Random(11)
    wait = interval / 2
    while not over.wait(wait):
        wait = interval
        name = chance.choice(["ventilator", "sink", "w0", "slot"])
        if name == "slot":
            inside = psutil.Process(running.processes["w0"].pid).children(recursive=True)
            chance.choice([process for process in inside if not process.children()]).kill()
        else:
            running.kill(name)
            running.start(name, *(["--slots", "2"] if name == "w0" else []))
