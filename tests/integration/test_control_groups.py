"""A worker in a control group, within one that has less: as in a container of a pod."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.exit_codes import WRONG_USE
from support.stations import LIMIT, free_url

V1 = Path("/sys/fs/cgroup")


@pytest.fixture
def inner() -> Iterator[dict[str, Path]]:
    """For each controller a group without a limit, in one of 64 MB and half a core."""
    limits = {"memory": {"memory.limit_in_bytes": str(64 << 20)}, "cpu": {"cpu.cfs_quota_us": "50000"}}
    made: list[Path] = []
    groups: dict[str, Path] = {}
    try:
        for controller, files in limits.items():
            outer = V1 / controller / f"penstock-{os.getpid()}"
            groups[controller] = outer / "inner"
            try:
                for folder in (outer, groups[controller]):
                    folder.mkdir()
                    made.append(folder)
                for name, text in files.items():
                    (outer / name).write_text(text)
            except OSError as error:
                pytest.skip(f"no control groups of version 1 to write here: {error}")
        yield groups
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()


def started(groups: dict[str, Path], *command: str) -> subprocess.CompletedProcess[str]:
    """A process in these groups."""
    enter = "".join(f"echo $$ > {group / 'cgroup.procs'}; " for group in groups.values())
    argv = ["sh", "-c", f'{enter}exec "$@"', "sh", sys.executable, *command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)


def test_a_worker_counts_with_what_is_around_its_group(inner: dict[str, Path]) -> None:
    """More slots than there is memory for, even idle, are refused; by itself it has those that its quota allows."""
    done = started(inner, "-m", "penstock", "worker", "--connect", free_url(), "--slots", "64")
    assert "gives 67 MB: ask for at most 6" in done.stderr
    assert done.returncode == WRONG_USE
    program = "from penstock.station.capacity import default_slots; print(default_slots())"
    assert started(inner, "-c", program).stdout == "1\n"
