"""Which jobs fit a filter: what a client asks the sink, and what it hears."""

from __future__ import annotations

from typing import Annotated

from penstock.job.spec import Instant
from penstock.wire.records import AboutBatch, BatchSpan, Count, Many, Numbered, OutcomeHead, SpanList, Text

Place = tuple[Count, Count, Count]
"""Number of a span in the question, and in it a Cursor."""


class FilteredSpan(BatchSpan, frozen=True):
    """Jobs of a batch that may fit a filter; the batch was `submitted` then."""

    submitted: Instant


class FetchFiltered(Numbered, frozen=True):
    """Which of these jobs have ended and fit `where`, a line of job/filters.py whose terms about batches are fulfilled:
    at most `limit` records. Answered by FetchedFiltered, which names the `cursor` to go on from."""

    where: Text
    spans: Annotated[tuple[FilteredSpan, ...], Many]
    limit: Count
    cursor: Place = (0, 0, 0)
    parts: bool = False


class FetchEnded(AboutBatch, frozen=True):
    """Which of these jobs have ended? Answered by FetchedEnded."""

    start: Count
    stop: Count


class FetchedFiltered(Numbered, frozen=True):
    """Answers the FetchFiltered of this number, in the order of its spans and of their jobs: without values, and of
    notes without more than the cause. `cursor`: there may be more, ask again from there."""

    records: tuple[OutcomeHead, ...]
    cursor: Place | None = None


class FetchedEnded(Numbered, frozen=True):
    """Answers the FetchEnded of this number, in the order of the jobs. `next`: there may be more, ask again from that
    job on."""

    spans: SpanList
    next: Count | None = None
