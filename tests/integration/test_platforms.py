"""Clients run where there is no Linux: here without what Windows lacks, as far as that can be taken away."""

from __future__ import annotations

import subprocess
import sys

from support.stations import LIMIT, Stations

WITHOUT = """
import click, os, rich.console, select, sys, zmq, cloudpickle, concurrent.futures, multiprocessing, subprocess, tempfile
for name in ("register_at_fork", "fork", "posix_spawnp", "sched_getaffinity", "setsid", "pipe2", "eventfd", "geteuid"):
    delattr(os, name)
del select.poll, select.epoll
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
import sysconfig; sysconfig.get_paths()  # reads a file that is named by the platform
sys.platform = "win32"

from penstock import Pipeline, Pool, errors

with Pipeline(sys.argv[1]) as p:
    print(p.submit(pow, 2, 10).result(), list(p.map(abs, range(-3, 0))))
    print(p.command(["echo", "hi"], cwd="/").result().stdout, list(p.batch(lambda x: x + 1, [1, 2]).values()))
with Pool(url=sys.argv[1]) as pool:
    print(pool.map(abs, [-1]))
try:
    Pipeline("local")
except errors.ConfigError as error:
    print(error)
from penstock.cli import main
print(main(["workers", "--url", sys.argv[1]]), main(["worker"]))
"""


def test_a_client_needs_nothing_that_windows_lacks(stations: Stations) -> None:
    """It uses a running pipeline; an embedded one is refused, and what it needs is said."""
    stations.start("ventilator", "sink", "w")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT, stations.url],
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if not line.startswith(("NAME", "w "))]
    assert said == [
        "1024 [3, 2, 1]",
        "b'hi\\n' [2, 3]",
        "[1]",
        "an embedded pipeline needs Linux or WSL: give the URL of a running one",
        "0 2",
    ], done.stderr
    assert "needs Linux or WSL; on Windows" in done.stderr
