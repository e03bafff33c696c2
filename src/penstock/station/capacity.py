"""How many slots a host has by itself, and whether it has room for those that it is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from penstock.errors import ConfigError
from penstock.wire.connections import open_files

SLOT_BYTES = 4 << 20
"""Of memory that an idle slot takes (PSS, measured: 4.4 MB)."""
SLOT_FILES = 6
"""The agent's open files for a slot: its socket, its page, two pipes, and two spools for jobs that print much."""
OTHER_FILES = 100
"""Open files of the agent that are not for its slots."""
MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
GB = 1e9


def check_slots(slots: int) -> None:
    """Raises ConfigError: there is not even room for so many idle ones."""
    import resource  # noqa: PLC0415 - Windows has none, and no slots

    memory, files = _memory(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if slots * SLOT_BYTES > memory:
        raise ConfigError(
            f"{slots:,} slots take {slots * SLOT_BYTES / GB:,.0f} GB of memory even idle, and there are"
            f" {memory / GB:,.0f} GB here: ask for at most {memory // SLOT_BYTES:,}"
        )
    if files != resource.RLIM_INFINITY and _files(slots) > files:
        raise ConfigError(
            f"{slots:,} slots need {_files(slots):,} open files, and a process may have {files:,} here (ulimit -Hn):"
            f" ask for at most {max(1, (files - OTHER_FILES) // SLOT_FILES):,}"
        )


def make_room(slots: int) -> None:
    """Let this process have the open files that its slots need. Raises what `check_slots` raises."""
    check_slots(slots)
    open_files(_files(slots))


def _files(slots: int) -> int:
    return slots * SLOT_FILES + OTHER_FILES


def _memory() -> int:
    """Bytes this process may use: the host's, or its container's."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in MEMORY_LIMITS:
        try:
            found.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return min(found)


def default_slots() -> int:
    """Cores this process may use: affinity, cgroup quota and SLURM_CPUS_PER_TASK, whichever is least."""
    counts = [len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1]
    for path, parse in (("/sys/fs/cgroup/cpu.max", _quota_v2), ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", _quota_v1)):
        try:
            counts.append(parse(Path(path)))
        except (OSError, ValueError):
            continue
    if os.environ.get("SLURM_CPUS_PER_TASK", "").isdigit():
        counts.append(int(os.environ["SLURM_CPUS_PER_TASK"]))
    return max(1, min(counts))


def _quota_v2(path: Path) -> int:
    quota, period = path.read_text().split()
    return -(-int(quota) // int(period))


def _quota_v1(path: Path) -> int:
    quota = int(path.read_text())
    if quota <= 0:
        raise ValueError("no quota")
    return -(-quota // int(path.with_name("cpu.cfs_period_us").read_text()))
