"""Whether this machine can run jobs and keep stores: what `doctor` looks at here."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from penstock.cli.commands.doctor_reach import Finding
from penstock.errors import PenstockError
from penstock.station.control_groups import OWN, ROOT, folders
from penstock.station.interpreter import command

DISK_WRONG_BYTES = 64 << 20
"""Below this a store is full within minutes."""
DISK_WARN_BYTES = 1 << 30
FILES_WRONG = 64
"""Open files without which no station starts: its sockets, stores, and a pipe for each slot."""
FILES_WARN = 1024
"""With fewer, the hundredth worker or client is turned away."""
PROCESSES_WRONG = 8
"""Processes more that an embedded pipeline with one slot needs, with their threads."""
PROCESSES_WARN = 64
IMPORT_TIME = 60.0
"""Seconds that an import may take: frameworks, from a slow disk."""
SLOT_TIME = 60.0
"""Seconds in which a slot must have run its first job."""


def modules(names: tuple[str, ...]) -> Iterator[Finding]:
    """Whether each can be imported here, in a fresh process."""
    for name in names:
        program = "import sys, importlib; importlib.import_module(sys.argv[1])"
        argv = command("-c", program, name)
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=IMPORT_TIME, check=False)
        except subprocess.TimeoutExpired:
            yield Finding(f"module {name}", "wrong", f"its import does not end within {IMPORT_TIME:g} s")
            continue
        if done.returncode == 0:
            yield Finding(f"module {name}", "ok", "can be imported")
        else:
            last = (done.stderr.strip().splitlines() or ["its import ends the process"])[-1]
            yield Finding(f"module {name}", "wrong", f"{last}: install it for {sys.executable}")


def disk(folder: Path) -> Finding:
    """Room for the stores, where this machine has them or would."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    said = f"{free / (1 << 30):.1f} GiB free for {folder}"
    if free < DISK_WRONG_BYTES:
        return Finding("disk", "wrong", f"{said}: make room, or name another folder with --data")
    if free < DISK_WARN_BYTES:
        return Finding("disk", "warn", f"{said}, which is little for queued arguments and kept results")
    return Finding("disk", "ok", said)


def files() -> Finding:
    """How many files a process may open: stations take all that the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return Finding("files", "ok", f"{soft} may be open at once, and more where needed")
    said = f"a process may open {hard}"
    if hard < FILES_WRONG:
        return Finding("files", "wrong", f"{said}, too few for a station: raise `ulimit -Hn` (LimitNOFILE= in systemd)")
    if hard < FILES_WARN:
        return Finding("files", "warn", f"{said}, few for a station with many peers: raise `ulimit -Hn`")
    return Finding("files", "ok", said)


def processes(root: Path = ROOT, groups: Path = OWN) -> Finding:
    """How many processes and threads more this control group may have."""
    left: int | None = None
    for folder in folders("pids", root, groups):
        try:
            most, now = ((folder / name).read_text().strip() for name in ("pids.max", "pids.current"))
        except OSError:
            continue
        if most.isdigit():
            left = min(int(most) - int(now), left if left is not None else int(most))
    if left is None:
        return Finding("processes", "ok", "no limit of a control group")
    said = f"{max(0, left)} more may be started (pids.max)"
    if left < PROCESSES_WRONG:
        return Finding(
            "processes", "wrong", f"{said}: too few for stations and slots; raise it (TasksMax=, --pids-limit)"
        )
    if left < PROCESSES_WARN:
        return Finding("processes", "warn", f"{said}: few for jobs that start processes or threads")
    return Finding("processes", "ok", said)


def slot() -> Finding:
    """Whether a pipeline of one's own starts and runs a job."""
    from penstock import Pipeline

    try:
        with Pipeline("local", slots=1) as pipeline:
            pipeline.submit(abs, -1).result(SLOT_TIME)
    except (PenstockError, OSError, TimeoutError) as error:
        return Finding("slot", "wrong", f"no job runs here: {error or type(error).__name__}")
    return Finding("slot", "ok", "ran a job")
