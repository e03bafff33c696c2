"""The peers, where they are installed: one job at a time through each, beside penstock in the same run.

Python peers: `pip install celery redis distributed ipyparallel parsl ray hyperqueue`; Celery needs redis-server too.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stderr
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from bench_parts import SLOTS, NewRow, increment, timed
from demo import free_url
from penstock import Pipeline

Submit = Callable[[range], list[int]]
"""Increments these numbers, each a job of its own."""

REDIS_URL = "PENSTOCK_BENCH_REDIS"
"""Where Celery's worker process, which imports this module, finds its broker."""

START_TIME = 60.0


class Peer(NamedTuple):
    """One of them."""

    name: str
    needs: tuple[str, ...]
    """Modules, or programs if they have a slash before their name."""
    start: Callable[[], AbstractContextManager[Any]]
    """While it is up: a Submit, or a Run."""


def absent(peer: Peer) -> list[str]:
    """What it lacks here."""
    return [
        name
        for name in peer.needs
        if (shutil.which(name[1:]) if name[0] == "/" else importlib.util.find_spec(name)) is None
    ]


# ---------------------------------------------------------------------------------------- those that call functions


@contextmanager
def dask() -> Iterator[Submit]:
    """Two processes on this machine, no dashboard."""
    distributed = import_module("distributed")
    with (
        distributed.LocalCluster(n_workers=SLOTS, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        # without `pure` a job that was done before is not done again
        yield lambda numbers: client.gather([client.submit(increment, x, pure=False) for x in numbers])


@contextmanager
def ray() -> Iterator[Submit]:
    """Two cores, no dashboard."""
    module = import_module("ray")
    module.init(num_cpus=SLOTS, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        remote = module.remote(increment)
        yield lambda numbers: module.get([remote.remote(x) for x in numbers])
    finally:
        module.shutdown()


@contextmanager
def ipyparallel() -> Iterator[Submit]:
    """Two engines, load balanced."""
    module = import_module("ipyparallel")
    cluster = module.Cluster(n=SLOTS, log_level=40)
    with cluster as client:
        view = client.load_balanced_view()

        def submit(numbers: range) -> list[int]:
            return [answer.get() for answer in [view.apply_async(increment, x) for x in numbers]]

        yield submit


@contextmanager
def parsl() -> Iterator[Submit]:
    """Its high-throughput executor, one block of two workers."""
    module, folder = import_module("parsl"), tempfile.mkdtemp(prefix="penstock-parsl-")
    provider = import_module("parsl.providers").LocalProvider(init_blocks=1, max_blocks=1)
    executor = import_module("parsl.executors").HighThroughputExecutor(
        max_workers_per_node=SLOTS, provider=provider, address="127.0.0.1", encrypted=False
    )
    config = import_module("parsl.config").Config(
        [executor], run_dir=folder, usage_tracking=0, initialize_logging=False
    )
    try:
        with module.load(config) as kernel:
            app = module.python_app(increment, data_flow_kernel=kernel)
            yield lambda numbers: [answer.result() for answer in [app(x) for x in numbers]]
    finally:
        module.clear()
        shutil.rmtree(folder)


def celery_app() -> tuple[Any, Any]:
    """The application and its task, for the worker process and here."""
    url = os.environ[REDIS_URL]
    app = import_module("celery").Celery("bench", broker=url, backend=url)
    app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
    return app, app.task(increment, name="increment")


@contextmanager
def celery() -> Iterator[Submit]:
    """Two processes, a Redis of its own that keeps nothing on disk."""
    port = int(free_url().rpartition(":")[2])
    os.environ[REDIS_URL] = f"redis://127.0.0.1:{port}/0"
    redis = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    code = "import bench_peers; bench_peers.celery_app()[0].worker_main(['worker', '-c', '2', '-l', 'error'])"
    with ExitStack() as stack:
        for command in (redis, [sys.executable, "-c", code]):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        app, task = celery_app()
        stack.callback(app.close)
        await_port(port)
        yield lambda numbers: [answer.get() for answer in [task.delay(x) for x in numbers]]


def await_port(port: int) -> None:
    """Until somebody listens there."""
    end = time.monotonic() + START_TIME
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


PYTHON = [
    Peer("Celery with Redis", ("celery", "redis", "/redis-server"), celery),
    Peer("Dask", ("distributed",), dask),
    Peer("ipyparallel", ("ipyparallel",), ipyparallel),
    Peer("Parsl", ("parsl",), parsl),
    Peer("Ray", ("ray",), ray),
]

# ---------------------------------------------------------------------------------------- those that run commands

Run = Callable[[int], object]
"""Runs /bin/true so many times."""


def words(count: int) -> bytes:
    """As many lines."""
    return "\n".join(map(str, range(count))).encode()


@contextmanager
def parallel() -> Iterator[Run]:
    """GNU parallel."""
    yield lambda count: ran(["parallel", "-j2", "/bin/true"], words(count))


@contextmanager
def hyperqueue() -> Iterator[Run]:
    """A server and a worker of two cores, already running."""
    module = import_module("hyperqueue")
    cluster_module = import_module("hyperqueue.cluster")
    with cluster_module.LocalCluster() as cluster:
        cluster.start_worker(cluster_module.WorkerConfig(cores=SLOTS))
        client = cluster.client()

        def run(count: int) -> None:
            job = module.Job()
            for _ in range(count):
                job.program(["/bin/true"], stdout=None, stderr=None)
            with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
                client.wait_for_jobs([client.submit(job)])

        yield run


def ran(command: list[str], lines: bytes) -> None:
    """A command that reads these lines."""
    subprocess.run(command, input=lines, check=True, stderr=subprocess.DEVNULL)


COMMANDS = [
    Peer("GNU parallel -j2", ("/parallel",), parallel),
    Peer("HyperQueue", ("hyperqueue",), hyperqueue),
]


class Peers:
    """The measurements; `short` takes smaller ones."""

    def __init__(self, row: NewRow, *, short: bool) -> None:
        self._row = row
        self._short = short
        self._rounds = 1 if short else 5

    def peers(self) -> None:
        """All that are installed; their processes import the jobs from this folder, and find their programs."""
        for name, folder in (("PYTHONPATH", Path(__file__).parent), ("PATH", Path(sys.executable).parent)):
            os.environ[name] = os.pathsep.join(filter(None, [str(folder), os.environ.get(name)]))
        for peer in PYTHON + COMMANDS:
            if lacks := absent(peer):
                print(f"{peer.name}: not installed here ({', '.join(lacks)})")
            else:
                try:
                    (self._functions if peer in PYTHON else self._commands)(peer)
                except AssertionError:
                    raise
                except Exception as error:  # noqa: BLE001 - of somebody else's program
                    print(f"{peer.name} failed: {error!r}")

    def _functions(self, peer: Peer) -> None:
        jobs, trips = (200, 20) if self._short else (2_000, 100)
        many = self._row(f"{jobs:,} x submit, embedded / {peer.name}", "jobs/s", "more", 1.0)
        one = self._row(f"one job after the other, p50, embedded / {peer.name}", "ms", "less", 1.0)
        with peer.start() as theirs, Pipeline(slots=SLOTS) as pipeline:

            def ours(numbers: range) -> list[int]:
                return [future.result() for future in [pipeline.submit(increment, x) for x in numbers]]

            sides = ((ours, many.ours, one.ours), (theirs, many.theirs, one.theirs))
            for submit, _, _ in sides:
                checked(submit, range(SLOTS * 2))
            for _ in range(self._rounds):
                for submit, rates, times in sides:
                    rates.append(jobs / timed(partial(checked, submit, range(jobs))))
                    trip = [timed(partial(checked, submit, range(x, x + 1))) for x in range(trips)]
                    times.append(statistics.median(trip) * 1000)

    def _commands(self, peer: Peer) -> None:
        count = 100 if self._short else 1_000
        row = self._row(f"{count:,} x /bin/true, penstock run / {peer.name}", "jobs/s", "more", 1.0)
        penstock = str(Path(sys.executable).with_name("penstock"))
        with peer.start() as run:
            run(1)
            for _ in range(self._rounds):
                row.ours.append(count / timed(partial(ran, [penstock, "run", "-j", "2", "/bin/true"], words(count))))
                row.theirs.append(count / timed(partial(run, count)))


def checked(submit: Submit, numbers: range) -> None:
    """Every answer is right."""
    assert list(submit(numbers)) == [x + 1 for x in numbers]
