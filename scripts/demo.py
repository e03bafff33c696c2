"""Two real things done through a running pipeline (PENSTOCK_URL), compared with a plain loop.

N-queens: the number of solutions for boards of 4 to 12, the placements of the first two rows as jobs. Hashes: SHA-256
of every file of this Python's standard library, by `sha256sum` and by a Python function. Exits with 1 if an answer is
wrong.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from penstock import Pipeline

SOLUTIONS = {4: 2, 5: 10, 6: 4, 7: 40, 8: 92, 9: 352, 10: 724, 11: 2680, 12: 14_200}
PORTS = 6


def free_url() -> str:
    """The URL of six free ports on loopback, below the range from which the kernel takes ports."""
    while True:
        base = random.randrange(10_000, 32_000)
        with suppress(OSError), ExitStack() as opened:
            for port in range(base, base + PORTS):
                opened.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return f"tcp://127.0.0.1:{base}"


def solutions(job: tuple[int, int, int, int, int]) -> int:
    """Ways to go on from `row`, given the attacked columns and diagonals as bits."""
    size, row, columns, left, right = job
    if row == size:
        return 1
    count, free = 0, ~(columns | left | right) & (1 << size) - 1
    while free:
        queen = free & -free
        free ^= queen
        count += solutions((size, row + 1, columns | queen, (left | queen) << 1, (right | queen) >> 1))
    return count


def placements(size: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Every placement of queens in the first two rows."""
    for first in range(size):
        for second in range(size):
            if abs(first - second) > 1:
                one, two = 1 << first, 1 << second
                yield size, 2, one | two, (one << 1 | two) << 1, (one >> 1 | two) >> 1


def sha256(path: str) -> str:
    """The hash of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def library_files() -> list[str]:
    """Every file of the standard library."""
    top = Path(sysconfig.get_path("stdlib"))
    found = (path for path in top.rglob("*") if "site-packages" not in path.parts)
    return sorted(str(path) for path in found if path.is_file())


def queens(pipeline: Pipeline) -> bool:
    """Count by the pipeline and by a plain loop."""
    jobs = [job for size in SOLUTIONS for job in placements(size)]
    begun = time.perf_counter()
    counts = dict.fromkeys(SOLUTIONS, 0)
    for job, count in zip(jobs, pipeline.map(solutions, jobs), strict=True):
        counts[job[0]] += count
    report("N-queens", len(jobs), time.perf_counter() - begun)
    print("  " + ", ".join(f"{size}: {count:,}" for size, count in counts.items()))
    plain = {size: solutions((size, 0, 0, 0, 0)) for size in SOLUTIONS}
    return same("N-queens", counts, plain) and same("N-queens, known", counts, SOLUTIONS)


def hashes(pipeline: Pipeline) -> bool:
    """Hash by commands, by a function, and by a plain loop."""
    files = library_files()
    begun = time.perf_counter()
    penstock = os.path.join(os.path.dirname(sys.executable), "penstock")
    output = subprocess.run([penstock, "run", "sha256sum", ":::", *files], stdout=subprocess.PIPE, check=True).stdout
    report("penstock run sha256sum", len(files), time.perf_counter() - begun)
    by_command = {os.fsdecode(line[66:]): line[:64].decode() for line in output.splitlines()}

    begun = time.perf_counter()
    by_function = dict(zip(files, pipeline.map(sha256, files), strict=True))
    report("hashlib.sha256", len(files), time.perf_counter() - begun)

    plain = {path: sha256(path) for path in files}
    print(
        f"  {len(files):,} files, all together {hashlib.sha256(''.join(plain.values()).encode()).hexdigest()[:16]}..."
    )
    return same("penstock run sha256sum", by_command, plain) and same("hashlib.sha256", by_function, plain)


def report(what: str, jobs: int, seconds: float) -> None:
    """One line on speed."""
    print(f"{what}: {jobs:,} jobs in {seconds:.2f} s, {jobs / seconds:,.0f} jobs/s")


def same(what: str, found: object, wanted: object) -> bool:
    """Whether they are equal, and a loud line if not."""
    if found != wanted:
        print(f"WRONG ANSWER: {what} differs from the plain loop", file=sys.stderr)
    return found == wanted


def main() -> int:
    """Do both, say what each worker did."""
    if sys.argv[1:] == ["--free-url"]:
        print(free_url())
        return 0
    with Pipeline(os.environ["PENSTOCK_URL"]) as pipeline:
        right = [queens(pipeline), hashes(pipeline)]
        for worker in pipeline.workers():
            print(f"worker {worker.name}: {worker.done:,} jobs in {worker.slots} slot(s)")
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
