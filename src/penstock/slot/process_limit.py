"""Control groups that bound how many processes a slot can have, where this process may make some.

The kernel then refuses further forks. Elsewhere the fork server counts, and kills (fork_server.py).
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

ROOM = 64
"""Processes beyond the limit at which the fork server ends a slot: so that it sees that the limit was passed."""
NAME = re.compile(r"penstock-(\d+)-\d+-\d+")
"""Fork server, slot, life."""


def make_process_limit(slot: int, life: int, limit: int) -> Path | None:
    """A control group of this process for one life of a slot; None: none can be made here."""
    for base in _bases():
        folder = base / f"penstock-{os.getpid()}-{slot}-{life}"
        try:
            folder.mkdir()
            (folder / "pids.max").write_text(str(limit + ROOM))
        except OSError:  # no right to, or no such controller here
            remove_process_limit(folder)
            continue
        return folder
    return None


def enter_process_limit(folder: Path) -> None:
    """Put this process into it, with all that will come of it."""
    with contextlib.suppress(OSError):
        (folder / "cgroup.procs").write_text(str(os.getpid()))


def remove_process_limit(folder: Path) -> bool:
    """Whether it is gone: it can go once nobody is in it, which may take the kernel a moment."""
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def remove_abandoned() -> None:
    """The fences of fork servers that were killed."""
    for base in _bases():
        with contextlib.suppress(OSError):
            for folder in base.iterdir():
                match = NAME.fullmatch(folder.name)
                if match is not None and not Path(f"/proc/{match[1]}").exists():
                    remove_process_limit(folder)


def _bases() -> list[Path]:
    """Where this process is among the control groups that count processes: version 1, then 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    groups = {controllers: group for _, controllers, group in (line.split(":", 2) for line in lines)}
    bases = [Path(f"/sys/fs/cgroup/pids{groups['pids']}")] if "pids" in groups else []
    return bases + ([Path(f"/sys/fs/cgroup{groups['']}")] if "" in groups else [])
