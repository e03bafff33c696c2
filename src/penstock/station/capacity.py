"""How many slots a host has by itself, and whether it has room for those that it is asked for."""

from __future__ import annotations

import os
import sys

from penstock.errors import ConfigError
from penstock.station.control_groups import cpu_limit, memory_limit
from penstock.wire.connections import open_files

SLOT_BYTES = 4 << 20
"""Of memory that an idle slot takes (PSS, measured: 4.4 MB)."""
SLOT_FILES = 6
"""The agent's open files for a slot: its socket, its page, two pipes, and two spools for jobs that print much."""
OTHER_FILES = 100
"""Open files of the agent that are not for its slots."""
OTHER_BYTES = 40 << 20
"""Of memory that the agent and its fork server take (measured in a control group: 42 MB)."""
MB = 1e6


def check_slots(slots: int) -> None:
    """Raises ConfigError: there is not even room for so many idle ones."""
    import resource  # noqa: PLC0415 - Windows has none, and no slots

    memory, files = _memory(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if slots > (most := _most_slots(memory)):
        needed = (OTHER_BYTES + slots * SLOT_BYTES) / MB
        fewer = f"ask for at most {most:,}" if most > 0 else "a worker needs more"
        raise ConfigError(
            f"a worker with {slots:,} slots takes {needed:,.0f} MB of memory even idle, and this machine, or the"
            f" control group that this runs in, gives {memory / MB:,.0f} MB: {fewer}"
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
    """Bytes this process may use: the host's, or those of its control groups."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if (limit := memory_limit()) is not None:
        found.append(limit)
    return min(found)


def default_slots() -> int:
    """Cores this process may use: affinity, the quotas of its control groups and SLURM_CPUS_PER_TASK, whichever is
    least; fewer, where there is no memory for so many."""
    counts = [len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1]
    if (cores := cpu_limit()) is not None:
        counts.append(cores)
    if os.environ.get("SLURM_CPUS_PER_TASK", "").isdigit():
        counts.append(int(os.environ["SLURM_CPUS_PER_TASK"]))
    if sys.platform == "linux":
        counts.append(_most_slots(_memory()))
    return max(1, min(counts))


def _most_slots(memory: int) -> int:
    return (memory - OTHER_BYTES) // SLOT_BYTES
