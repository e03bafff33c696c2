"""What pipelines and batches show of themselves in a notebook: HTML without scripts, everything foreign escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

COLOURS = (("succeeded", "#2b8a3e"), ("unsuccessful", "#c92a2a"), ("cancelled", "#868e96"), ("running", "#1c7ed6"))
"""Of the parts of a bar, from the left; what waits is empty."""
BAR = "display:flex;width:24em;height:0.8em;border:1px solid #868e96;border-radius:3px;overflow:hidden"
BATCHES_SHOWN = 10


def of_batch(status: Any) -> str:
    """A bar for a BatchStatus, and how many jobs there are of each kind."""
    known = status.accepted if status.total is None else max(status.total, status.accepted)
    parts = "".join(
        f'<div style="width:{100 * getattr(status, name) / known:.2f}%;background:{colour}"></div>'
        for name, colour in COLOURS
        if known and getattr(status, name)
    )
    title = escape(status.name or status.title or status.id)
    return f'<div><b>{title}</b><div style="{BAR}">{parts}</div>{escape(in_words(status))}</div>'


def in_words(status: Any) -> str:
    """One line of a BatchStatus: how many of how many have ended, and what of the rest."""
    total = f"{status.accepted:,} and more" if status.total is None else f"{status.total:,}"
    said = [f"{status.finished:,} of {total} ended"]
    counts = {
        "failed": status.failed,
        "timed out": status.timed_out,
        "cancelled": status.cancelled,
        "dead": status.dead,
        "running": status.running,
    }
    said += [f"{count:,} {word}" for word, count in counts.items() if count]
    return ", ".join(said) + (f": {status.waits}" if status.waits else "")


def of_pipeline(url: str, status: Any, batches: Iterable[Any]) -> str:
    """How it stands, by a PipelineStatus, its workers, and its newest batches."""
    said = [f"{status.queued:,} jobs wait", f"{status.running or 0:,} run", f"{status.slots:,} slots"]
    said += [text for text in (status.paused, status.trouble) if text]
    workers = _table(
        ("worker", "host", "slots", "running", "done"),
        ((one.name, one.host, one.slots, one.running, one.done) for one in status.workers),
    )
    return f"<div><b>{escape(url)}</b><br>{escape(', '.join(said))}{workers}{''.join(map(of_batch, batches))}</div>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
