"""What the control groups that this process is in leave it: its own, and all around that (cgroups(7), v1 and v2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
"""A line for each hierarchy: its number, the controllers (none: version 2), this process' group."""
UNIFIED = "unified"
"""The folder of version 2 where version 1 is used beside it."""


def folders(controller: str, root: Path = ROOT, own: Path = OWN) -> Iterator[Path]:
    """The folders of the groups with this controller, from its own outwards, as far as a container sees them."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if not kinds:
            yield from _outwards(root, path)
            yield from _outwards(root / UNIFIED, path)
        elif controller in kinds.split(","):
            yield from _outwards(root / kinds if (root / kinds).is_dir() else root / controller, path)


def _outwards(root: Path, path: str) -> Iterator[Path]:
    """A container sees its own group as the root, and may be told the path that it has outside: what of that is not
    there is left out, from the left."""
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    while parts and not root.joinpath(*parts).is_dir():
        del parts[0]
    at = Path(*parts)
    yield from (root / part for part in (at, *at.parents))


def memory_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes; None: there is no limit."""
    found = [
        limit
        for folder in folders("memory", root, own)
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _number(folder / name)) is not None
    ]
    return min(found, default=None)


def cpu_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Whole cores, rounded up; None: there is no limit."""
    found = [cores for folder in folders("cpu", root, own) if (cores := _cores(folder)) is not None]
    return min(found, default=None)


def _cores(folder: Path) -> int | None:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    if period is None:
        quota, period = _number(folder / "cpu.max"), _number(folder / "cpu.max", 1)
    return -(-quota // period) if quota and period else None


def _number(path: Path, at: int = 0) -> int | None:
    """The word of this index in a file; None: there is none, or it is no number, as "max" or -1 where there is no
    limit."""
    try:
        word = path.read_text().split()[at]
    except (OSError, IndexError):
        return None
    return int(word) if word.isdecimal() else None
