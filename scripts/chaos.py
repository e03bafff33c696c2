"""Faults on a real pipeline under load, then an independent count of every job ever accepted.

scripts/chaos --minutes 5 --seed 7     random faults on random processes; a count at the end
scripts/chaos --recovery 20            how long after a kill -9 of each kind of process the next outcome is recorded

Ventilator, sink, three workers of two slots and a client are processes of their own over tcp, with durable files. What
a user would see is read by a client in this process; what is in the files is read with the standard library's sqlite3
when all stations have ended. Exits with 1 if a number that must be 0 is not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from chaos_count import Fault, Seen, count_files, count_outcomes, count_starts
from chaos_load import KINDS, STARTS, nap
from demo import free_url
from penstock import CommandResult, Pipeline
from penstock.client.records import Outcome
from penstock.errors import NoSuchBatch, PenstockError
from penstock.station.config import SinkConfig, VentilatorConfig, WorkerConfig
from penstock.wire.bounds import LEASE_TIME

MARK = "PENSTOCK_CHAOS_MARK"
WORKERS = ("worker-1", "worker-2", "worker-3")
SLOTS = 2
STATIONS = ("ventilator", "sink", *WORKERS)
UP_TIME = 30.0
"""Seconds a process may take to come up, or to end by itself, on a machine that is busy."""
NEW_TIME = 10.0
"""Seconds for which a process may still be coming up."""
HEAL_TIME = 120.0
"""Seconds after the last fault within which every accepted job must have its outcome."""
LOOK_INTERVAL = 0.02
SAMPLE_INTERVAL = 0.5
PEAK_BYTES = 256 << 20
"""Resident memory that no process may exceed under this load: twice what any of them has ever had."""
LOG_LINES = 15
"""Of each log that are shown when a number is wrong."""


def until(look: Callable[[], Any], limit: float) -> bool:
    """Wait until it is true, or for so many seconds; whether it is."""
    end = time.monotonic() + limit
    while not look():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_INTERVAL)
    return True


class Processes:
    """The processes of one pipeline in one folder, and whatever descends from them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = free_url()
        self.mark = uuid.uuid4().hex
        self.peaks: dict[str, int] = defaultdict(int)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.accepted = folder / "accepted"
        self._lives: Counter[str] = Counter()
        self._started_at: dict[str, float] = {}
        self._sampling = threading.Event()
        (folder / "tmp").mkdir()
        self._environment = os.environ | {
            MARK: self.mark,
            STARTS: str(folder / "starts"),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
        }
        for name in ("PENSTOCK_URL", "PENSTOCK_DATA"):
            self._environment.pop(name, None)
        threading.Thread(target=self._sample, daemon=True).start()

    def start(self, *names: str) -> None:
        """Start those that do not run."""
        for name in names:
            if name in self.running and self.running[name].poll() is None:
                continue
            self._lives[name] += 1
            self._started_at[name] = time.monotonic()
            with (self.folder / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(
                    [sys.executable, *self._arguments(name)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                    start_new_session=True,
                )

    def _arguments(self, name: str) -> list[str]:
        if name == "client":
            script = str(Path(__file__).with_name("chaos_load.py"))
            return [script, self.url, str(self.accepted), str(self._lives[name])]
        data = str(self.folder / "data")
        if name == "ventilator":
            config: Any = VentilatorConfig(url=self.url, data=data)
        elif name == "sink":
            config = SinkConfig(url=self.url, data=data)
        else:
            config = WorkerConfig(url=self.url, slots=SLOTS, name=name)
        module = name if name in {"ventilator", "sink"} else "worker"
        return ["-m", f"penstock.{module}.process", msgspec.json.encode(config).decode()]

    def signal(self, name: str, number: int) -> None:
        """Send one of them a signal, if it is there."""
        with contextlib.suppress(ProcessLookupError):
            self.running[name].send_signal(number)

    def end(self, name: str, number: int) -> str:
        """Send a signal and wait until it is gone; returns what was wrong with that, or nothing."""
        process = self.running[name]
        self.signal(name, number)
        try:
            code = process.wait(UP_TIME)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"{name} did not end within {UP_TIME:g} s of a SIGTERM"
        is_new = time.monotonic() < self._started_at[name] + NEW_TIME  # a Python that still imports has no handler yet
        if number != signal.SIGTERM or code == 0 or (is_new and code == -signal.SIGTERM):
            return ""
        return f"{name} ended with exit code {code}"

    def family(self) -> Iterator[psutil.Process]:
        """Every living process that was started for this pipeline, wherever it is now."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() != psutil.STATUS_ZOMBIE and self.mark in process.environ().get(MARK, ""):
                    yield process

    def inside(self, worker: str) -> tuple[list[psutil.Process], list[psutil.Process]]:
        """The fork server and the slots of a worker."""
        servers: list[psutil.Process] = []
        slots: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            servers = psutil.Process(self.running[worker].pid).children()
            slots = [slot for server in servers for slot in server.children()]
        return servers, slots

    # ---------------------------------------------------------------------------------------------- memory

    def _sample(self) -> None:
        while not self._sampling.wait(SAMPLE_INTERVAL):
            for name, process in list(self.running.items()):
                self._note(name.split("-")[0], process.pid)
                if name in WORKERS:
                    servers, slots = self.inside(name)
                    for kind, members in (("fork server", servers), ("slot", slots)):
                        for member in members:
                            self._note(kind, member.pid)

    def _note(self, kind: str, pid: int) -> None:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peaks[kind] = max(self.peaks[kind], int(line.split()[1]) << 10)

    def close(self) -> None:
        """Kill whatever is left."""
        self._sampling.set()
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        for member in self.family():
            with contextlib.suppress(psutil.Error):
                member.kill()


# ------------------------------------------------------------------------------------------------ the watcher


@dataclass(frozen=True)
class Accepted:
    """What the client said was accepted: a whole batch, or (`index`) a single job of an open one."""

    kind: str
    batch: str
    count: int
    index: int | None = None


def accepted(path: Path, offset: int = 0) -> tuple[list[Accepted], int]:
    """What the client's file says behind `offset`, and where it ends; a line that is not whole is left for later."""
    found: list[Accepted] = []
    data = path.read_bytes()[offset:] if path.exists() else b""
    data = data[: data.rfind(b"\n") + 1]
    for line in data.decode().splitlines():
        what, kind, name, *rest = line.split()
        if what == "batch":
            found.append(Accepted(kind, name, int(rest[0])))
        else:
            batch, index = name.split(":")
            found.append(Accepted(kind, batch, 1, int(index)))
    return found, offset + len(data)


class Watcher:
    """A client that sees every outcome of what was accepted, and when."""

    def __init__(self, url: str, path: Path) -> None:
        self.seen = Seen()
        self.expected: dict[tuple[str, int], str] = {}
        """Kinds of the accepted jobs, by batch and index."""
        self.missing: list[str] = []
        self.open = 0
        """What is being watched."""
        self._lock = threading.Lock()
        self._url = url
        self._path = path
        self._offset = 0
        self._stopping = threading.Event()
        self._pipeline = Pipeline(url)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._stopping.wait(0.1):
            self.take_in()

    def take_in(self) -> None:
        """Begin to watch what has been accepted by now."""
        with self._lock:
            found, self._offset = accepted(self._path, self._offset)
            self.open += len(found)
        for one in found:
            indexes = range(one.count) if one.index is None else [one.index]
            self.expected.update(((one.batch, index), one.kind) for index in indexes)
            threading.Thread(target=self._watch, args=[one], daemon=True).start()

    def _watch(self, one: Accepted) -> None:
        """Until all of it has ended, whatever happens to the connection."""
        position = 0
        while not self._stopping.is_set():
            try:
                batch = self._pipeline.attach(one.batch)
                if one.index is not None:
                    for outcome in batch.attempts(one.index):
                        if outcome.state == "succeeded":
                            self._note(one, outcome)
                            return self._leave()
                    time.sleep(0.1)
                    continue
                for outcome in batch.follow(after=position):
                    self._note(one, outcome)
                    position = outcome.position
                return self._leave()
            except NoSuchBatch:
                self.missing.append(one.batch)
                return self._leave()
            except PenstockError:
                time.sleep(0.2)
        return None

    def _leave(self) -> None:
        with self._lock:
            self.open -= 1

    def _note(self, one: Accepted, outcome: Outcome) -> None:
        value = outcome.value
        if isinstance(value, CommandResult) or outcome.returncode is not None:
            value = (outcome.returncode, outcome.stdout)
        if one.kind == "failing" and not isinstance(outcome.error, ValueError):
            value = repr(outcome.error)
        endings = KINDS[one.kind].endings(outcome.index)
        right = any((outcome.state, value) == ending for ending in endings)
        problem = "" if right else f"{one.kind} {outcome.job_id}: {outcome.state} {str(value)[:60]} {outcome.cause}"
        self.seen.add((one.batch, outcome.index), str(outcome.state), problem)

    @property
    def is_done(self) -> bool:
        """Whether all that was accepted has ended, by the outcomes that were seen and by what the ventilator says."""
        self.take_in()
        if self.open:
            return False
        try:
            status = self._pipeline.status()
        except PenstockError:
            return False
        return status.queued == 0 and status.leased == 0

    @property
    def worker_count(self) -> int:
        """How many workers are connected."""
        return len(self._pipeline.workers())

    def close(self) -> None:
        """Leave the pipeline."""
        self._stopping.set()
        self._thread.join()
        self._pipeline.shutdown(wait=False)


# ------------------------------------------------------------------------------------------------ the faults


@dataclass
class Faults:
    """Does harm, one at a time, and puts it right; `done` has what was done and when."""

    processes: Processes
    rng: random.Random
    done: list[Fault] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def one(self) -> None:
        """A random fault on a random process."""
        kinds = {
            self.kill: 4,
            self.terminate: 2,
            self.stop: 2,
            self.stop_and_kill: 2,
            self.kill_inside: 3,
            self.kill_both: 1,
            self.kill_all: 1,
        }
        self.rng.choices(list(kinds), list(kinds.values()))[0]()

    @contextlib.contextmanager
    def _noted(self, what: str, *names: str) -> Iterator[None]:
        fault = Fault(what, " ".join(names), time.time(), frozenset(names))
        print(f"  {time.strftime('%H:%M:%S')} {what} {fault.target}", flush=True)
        self.done.append(fault)
        yield
        fault.end = time.time()

    def _any(self) -> str:
        return self.rng.choice([*STATIONS, "client"])

    def _kill(self, what: str, *names: str) -> None:
        pause = self.rng.choice([0.0, 0.0, self.rng.uniform(0, 3)])
        with self._noted(what, *names):
            for name in names:
                self.processes.signal(name, signal.SIGKILL)
            for name in names:
                self.processes.end(name, signal.SIGKILL)
            time.sleep(pause)
            self.processes.start(*names)

    def kill(self) -> None:
        """SIGKILL, and start it again, at once or a little later."""
        self._kill("SIGKILL", self._any())

    def kill_both(self) -> None:
        """The ventilator and the sink at the same moment."""
        self._kill("SIGKILL", "ventilator", "sink")

    def kill_all(self) -> None:
        """As if the power failed."""
        self._kill("SIGKILL", *STATIONS, "client")

    def terminate(self) -> None:
        """SIGTERM, wait for a clean end, start it again."""
        name = self._any()
        with self._noted("SIGTERM", name):
            problem = self.processes.end(name, signal.SIGTERM)
            self.problems += [problem] if problem else []
            self.processes.start(name)

    def stop(self) -> None:
        """SIGSTOP for longer than a lease, then SIGCONT."""
        name = self._any()
        with self._noted("SIGSTOP", name):
            self.processes.signal(name, signal.SIGSTOP)
            time.sleep(LEASE_TIME + self.rng.uniform(0.5, 2))
            self.processes.signal(name, signal.SIGCONT)

    def stop_and_kill(self) -> None:
        """SIGSTOP for longer than a lease; meanwhile another one is killed and started again."""
        name, other = self.rng.sample([*STATIONS, "client"], 2)
        with self._noted("SIGSTOP and SIGKILL", name, other):
            self.processes.signal(name, signal.SIGSTOP)
            time.sleep(self.rng.uniform(0, LEASE_TIME))
            self.processes.end(other, signal.SIGKILL)
            self.processes.start(other)
            time.sleep(LEASE_TIME + self.rng.uniform(0, 2))
            self.processes.signal(name, signal.SIGCONT)

    def kill_inside(self) -> None:
        """A slot, or the fork server of a worker."""
        worker = self.rng.choice(WORKERS)
        servers, slots = self.processes.inside(worker)
        victims = servers if self.rng.random() < 0.3 else slots
        if victims:
            what = "SIGKILL " + ("slot of" if victims is slots else "fork server of")
            with self._noted(what, worker), contextlib.suppress(psutil.Error):
                self.rng.choice(victims).kill()
                if victims is servers:
                    psutil.wait_procs(slots, UP_TIME)  # they may start one more job before they notice


# ------------------------------------------------------------------------------------------------ the run


def run(seconds: float, seed: int, folder: Path) -> int:
    """Load, faults, healing, count. Returns the exit code."""
    processes = Processes(folder)
    faults = Faults(processes, random.Random(seed))
    try:
        processes.start(*STATIONS)
        watcher = Watcher(processes.url, processes.accepted)
        if not until(lambda: watcher.worker_count == len(WORKERS), UP_TIME):
            raise RuntimeError(f"the workers did not come up; their logs are in {folder}")
        processes.start("client")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(faults.rng.uniform(1, 4))
            faults.one()
        print("  healing", flush=True)
        begun = time.monotonic()
        problem = processes.end("client", signal.SIGTERM)
        faults.problems += [problem] if problem else []
        processes.start(*STATIONS)
        is_done = until(lambda: watcher.is_done, HEAL_TIME)
        healing = time.monotonic() - begun
        watcher.close()
        for name in (*WORKERS, "sink", "ventilator"):
            problem = processes.end(name, signal.SIGTERM)
            faults.problems += [problem] if problem else []
        until(lambda: not list(processes.family()), UP_TIME)
        counted = count(processes, faults, watcher)
    finally:
        processes.close()
    return report(processes, faults, watcher, counted, f"{healing:.1f} s" if is_done else "NOT DONE")


def count(processes: Processes, faults: Faults, watcher: Watcher) -> dict[str, list[str]]:
    """What must be nothing, by what it is."""
    folder = processes.folder
    kinds = watcher.expected
    left = left_behind(processes)  # first: whoever reads the files makes more of them
    files = count_files(folder / "data", {f"{batch}:{index}" for batch, index in kinds})
    starts = count_starts(folder / "starts", kinds, watcher.seen, faults.done)
    watcher.seen.starts = starts.total
    return {
        "lost": files.lost + [f"batch {batch} is unknown" for batch in watcher.missing],
        "recorded twice": files.twice,
        "seen twice by a reader": watcher.seen.twice,
        "wrong outcome": count_outcomes(kinds, watcher.seen),
        "files disagree": files.disagreements,
        "run again although the outcome was safe": starts.after_safe,
        "run again though nothing died under it": starts.unexplained,
        "started twice in spite of max_crashes=1": starts.forbidden,
        "processes and files left behind": left,
        "stations that did not end well": faults.problems,
        f"kinds of process that had more than {PEAK_BYTES >> 20} MiB": too_large(processes.peaks),
    }


def left_behind(processes: Processes) -> list[str]:
    """What is still there when all stations have ended."""
    folder = processes.folder
    left = [f"process {p.pid} {' '.join(p.cmdline())[:80]}" for p in processes.family()]
    known = {"queue.db", "results.db", "queue.db.lock", "results.db.lock"}
    left += [str(path) for path in (folder / "data").iterdir() if path.name not in known]
    return left + [str(path) for path in (folder / "tmp").iterdir()]


def too_large(peaks: dict[str, int]) -> list[str]:
    """Kinds of process whose peak is no good."""
    return [f"{kind}: {peak >> 20} MiB" for kind, peak in peaks.items() if peak > PEAK_BYTES]


def report(processes: Processes, faults: Faults, watcher: Watcher, counted: dict[str, list[str]], healing: str) -> int:
    """The table; 1 if a number is not 0."""
    for what, found in counted.items():
        for one in found[:10]:
            print(f"{what}: {one}", file=sys.stderr)
    states = Counter(watcher.seen.states.values())
    done = Counter(fault.what for fault in faults.done)
    print("faults     " + ", ".join(f"{number} {what}" for what, number in sorted(done.items())))
    print(f"accepted   {len(watcher.expected):,} jobs: " + ", ".join(f"{n:,} {s}" for s, n in sorted(states.items())))
    print(f"starts     {watcher.seen.starts:,} of {len(watcher.seen.states):,} jobs with an outcome seen")
    print(f"healing    {healing}")
    print("peak RSS   " + ", ".join(f"{kind} {peak >> 20} MiB" for kind, peak in sorted(processes.peaks.items())))
    for what, found in counted.items():
        print(f"{len(found):>6}     {what}")
    return 1 if any(counted.values()) or healing == "NOT DONE" else 0


def show_logs(folder: Path) -> None:
    """The end of each."""
    for path in sorted(folder.glob("*.log")):
        lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
        print(f"--- {path.name}", *lines, sep="\n", file=sys.stderr)


# ------------------------------------------------------------------------------------------------ recovery


def recovery(rounds: int, folder: Path) -> int:
    """From kill -9 of each kind of process, started again at once, to the next outcome recorded, and to the outcome of
    a job submitted at that moment."""
    print(f"seconds from kill -9 and restart at once, median and worst of {rounds}, one worker of {SLOTS} slots:")
    print(f"{'':<12}{'next outcome recorded':>24}{'outcome of a new job':>24}")
    processes = Processes(folder)
    try:
        processes.start("ventilator", "sink", "worker-1")
        with Pipeline(processes.url) as pipeline:
            pipeline.submit(nap, 0).result()
            for kind in ("ventilator", "sink", "worker-1", "fork server", "slot"):
                times = [recover(processes, pipeline, kind) for _ in range(rounds)]
                columns = (f"{statistics.median(c):.2f} {max(c):.2f}" for c in zip(*times, strict=True))
                print(f"{kind.removesuffix('-1'):<12}" + "".join(f"{column:>24}" for column in columns), flush=True)
    finally:
        processes.close()
    return 0


def recover(processes: Processes, pipeline: Pipeline, kind: str) -> tuple[float, float]:
    """Kill while jobs run."""
    load = [pipeline.options(max_crashes=100).submit(nap, 1 + x % 2) for x in range(8)]
    until(lambda: any(future.done() for future in load), UP_TIME)
    recorded: list[float] = []
    if kind in processes.running:
        processes.end(kind, signal.SIGKILL)
    else:
        servers, slots = processes.inside("worker-1")
        (servers if kind == "fork server" else slots)[0].kill()
    killed = time.monotonic()
    for future in [future for future in load if not future.done()]:
        future.add_done_callback(lambda _: recorded.append(time.monotonic()))
    if kind in processes.running:
        processes.start(kind)
    new = pipeline.options(priority=1, max_crashes=100).submit(nap, 0)
    new.add_done_callback(lambda _: recorded.append(time.monotonic()))
    new.result(UP_TIME)
    fresh = time.monotonic()
    for future in load:
        future.result(UP_TIME)
    return min(recorded) - killed, fresh - killed


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long faults are done")
    parser.add_argument("--seed", type=int, default=None, help="of the faults; random if not given")
    parser.add_argument("--recovery", type=int, metavar="N", help="measure recovery times instead, N of each kind")
    parser.add_argument("--keep", action="store_true", help="leave the folder with files and logs")
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="penstock-chaos-"))
    if options.recovery:
        code = recovery(options.recovery, folder)
    else:
        print(f"chaos: --minutes {options.minutes:g} --seed {seed}", flush=True)
        code = run(options.minutes * 60, seed, folder)
        if code:
            show_logs(folder)
        print("chaos: all is well" if code == 0 else f"CHAOS FAILED (seed {seed}); files and logs are in {folder}")
    if code == 0 and not options.keep:
        shutil.rmtree(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
