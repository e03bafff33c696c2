"""N queens over all workers: ``python -m penstock.examples.queens [N] [PICTURE.svg]`` shows who ran what when."""

from __future__ import annotations

from pathlib import Path

from penstock import Pipeline
from penstock.examples import Arguments, run


def solutions(size: int, row: int, columns: int, left: int, right: int) -> int:
    """How many ways there are to go on from this row; the rest are bit sets of what is attacked."""
    if row == size:
        return 1
    free, count = ~(columns | left | right) & ((1 << size) - 1), 0
    while free:
        bit = free & -free
        free ^= bit
        count += solutions(size, row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1)
    return count


def main(arguments: Arguments) -> None:
    """A job for each pair of queens in the first two rows."""
    arguments.add_argument("size", nargs="?", type=int, choices=range(3, 33), default=12, metavar="N", help="3 to 32")
    arguments.add_argument("picture", nargs="?", type=Path, metavar="PICTURE.svg", help="a file to draw it to")
    asked = arguments.parse_args()
    size = asked.size
    pairs = [(1 << one, 1 << two) for one in range(size) for two in range(size) if abs(one - two) > 1]
    jobs = [(size, 2, one | two, (one << 1 | two) << 1, (one >> 1 | two) >> 1) for one, two in pairs]
    with Pipeline() as pipeline:
        batch = pipeline.batch(solutions, *zip(*jobs, strict=True), name=f"{size} queens")
        print(f"{size} queens: {sum(batch)} solutions in {len(batch)} jobs")
        if asked.picture:
            asked.picture.write_text(batch.timeline(), encoding="utf-8")


if __name__ == "__main__":
    run(main, "queens", __doc__)
