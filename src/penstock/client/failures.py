"""Failed jobs, grouped by their error, as they are counted by the sink for each batch."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from penstock.client.records import FailureGroup, Failures
from penstock.job.error_pattern import key_of
from penstock.job.spec import job_id
from penstock.wire.messages import AskFailures, ErrorGroup, GroupCursor
from penstock.wire.messages import Failures as Answer

if TYPE_CHECKING:
    from penstock.client.session import Session
    from penstock.wire.records import OutcomeHead

WORKERS = 20
EXAMPLES = 5


def failures_of(session: Session, batch: bytes, timeout: float | None = None) -> Failures:
    """Of this batch, or of all (empty). Raises NoPipeline when the sink does not answer within `timeout` seconds."""
    groups: list[ErrorGroup] = []
    cursor: GroupCursor | None = (0, b"")
    incomplete = False
    while cursor is not None:
        after = cursor
        answer: Answer
        ask = partial(AskFailures, batch=batch, after=after)
        answer, _ = session.fetch(ask, timeout)
        groups += answer.groups
        incomplete |= answer.incomplete
        cursor = answer.cursor
    return Failures(groups=merged(groups), incomplete=incomplete)


def failures_in(heads: Iterable[OutcomeHead]) -> Failures:
    """Of these outcomes, each of which is the newest one of its jobs."""
    return Failures(groups=merged(_alone(head) for head in heads if head.is_failure))


def merged(groups: Iterable[ErrorGroup]) -> tuple[FailureGroup, ...]:
    """Those of one error are one, whichever batch they are of; the error of the most jobs comes first."""
    by_key: dict[bytes, list[ErrorGroup]] = {}
    for group in groups:
        by_key.setdefault(group.key, []).append(group)
    one_each = [_merged(key, same) for key, same in by_key.items()]
    return tuple(sorted(one_each, key=lambda group: (-group.jobs, group.error)))


def _merged(key: bytes, same: list[ErrorGroup]) -> FailureGroup:
    workers = dict.fromkeys(worker for group in same for worker in group.workers)
    examples = [job_id(group.batch, index) for group in same for index in group.examples]
    return FailureGroup(
        key=key.hex(),
        error=same[0].pattern,
        jobs=sum(group.jobs for group in same),
        batches=len({group.batch for group in same}),
        workers=tuple(workers)[:WORKERS],
        first=min((group.first_time for group in same if group.first_time), default=0.0),
        last=max(group.last_time for group in same),
        examples=tuple(examples[:EXAMPLES]),
    )


def _alone(head: OutcomeHead) -> ErrorGroup:
    ended_time = head.started_time + head.elapsed
    pattern, jobs = head.pattern, head.stop - head.start
    examples = tuple(range(head.start, min(head.stop, head.start + EXAMPLES)))
    return ErrorGroup(head.batch, key_of(pattern), pattern, jobs, ended_time, ended_time, (), examples)
