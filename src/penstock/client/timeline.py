"""A picture of who ran what when: outcomes as SVG, a line for each slot, a box for each job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.client.records import Outcome

WIDTH, LEFT, LINE = 960, 160, 26
"""Pixels: of the whole, of the names on the left, of a slot's line."""
COLOURS = {"succeeded": ("#4477aa", "#88bbdd"), "failed": ("#cc6677", "#dd99aa")}
"""In turns, so that neighbours are told apart; of other states: grey."""


def timeline(outcomes: Iterable[Outcome]) -> str:
    """The SVG of these outcomes; those that never started are not in it."""
    boxes = _boxes(outcomes)
    begin = min((start for line in boxes.values() for start, _, _ in line), default=0.0)
    end = max((stop for line in boxes.values() for _, stop, _ in line), default=1.0)
    scale = (WIDTH - LEFT - 10) / max(end - begin, 1e-6)
    size = f'width="{WIDTH}" height="{LINE * (len(boxes) + 1) + 10}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    lines.append('<rect width="100%" height="100%" fill="white"/>')
    for place, ((worker, slot), jobs) in enumerate(sorted(boxes.items())):
        top = 5 + LINE * place
        busy = sum(stop - start for start, stop, _ in jobs) / max(end - begin, 1e-6)
        lines.append(f'<text x="5" y="{top + 17}">{escape(worker)} {slot}: {busy:.0%}</text>')
        for number, (start, stop, outcome) in enumerate(jobs):
            colour = COLOURS.get(outcome.state, ("#999999", "#bbbbbb"))[number % 2]
            x, width = LEFT + (start - begin) * scale, max((stop - start) * scale, 0.5)
            lines.append(
                f'<rect x="{x:.1f}" y="{top + 2}" width="{width:.1f}" height="{LINE - 6}" fill="{colour}">'
                f"<title>{outcome.job_id} {outcome.state} {outcome.elapsed:.4f} s</title></rect>"
            )
    bottom = LINE * len(boxes) + 22
    lines.append(f'<text x="{LEFT}" y="{bottom}">0 s</text>')
    lines.append(f'<text x="{WIDTH - 10}" y="{bottom}" text-anchor="end">{end - begin:.3f} s</text></svg>')
    return "\n".join(lines)


def _boxes(outcomes: Iterable[Outcome]) -> dict[tuple[str, int], list[tuple[float, float, Outcome]]]:
    """Start, end and outcome of each job, by worker and slot. Tiny jobs were timed together: one stands behind the
    other then."""
    boxes: dict[tuple[str, int], list[tuple[float, float, Outcome]]] = defaultdict(list)
    ran = sorted(
        (one for one in outcomes if one.started), key=lambda one: (one.worker, one.slot, one.started, one.index)
    )
    for (worker, slot, started), together in groupby(ran, key=lambda one: (one.worker, one.slot, one.started)):
        at = started
        for outcome in together:
            boxes[worker, slot].append((at, at + outcome.elapsed, outcome))
            at += outcome.elapsed
    return boxes
