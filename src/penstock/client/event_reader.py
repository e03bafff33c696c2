"""Reads what has happened, in the order of its numbers, from wherever a reader was."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import sleep as pause
from typing import TYPE_CHECKING

from penstock.client.outage import CONNECT_TIMEOUT
from penstock.client.records import Event
from penstock.errors import PenstockError
from penstock.wire.desk_messages import AskEvents, EventLine, Events

if TYPE_CHECKING:
    from penstock.client.session import Session

PAGE = 1_000
LOOK_INTERVAL = 0.5
"""Seconds between two looks at whether there is more, while a reader follows."""


def last_event(session: Session) -> int:
    """The number of the newest one."""
    answer: Events = session.ask(lambda number: AskEvents(number, 0, 0))
    return answer.last


def read_events(session: Session, after: int, *, follow: bool) -> Iterator[Event]:
    """Those behind this number. Raises PenstockError: that number was not given yet, so it is of another pipeline or of
    a newer state of this one; NoPipeline: nobody answers, unless `follow`, which waits for the ventilator."""
    seen = after
    while True:
        answer: Events = session.ask(partial(_asking, seen), None if follow else CONNECT_TIMEOUT)
        if seen > answer.last:
            raise PenstockError(
                f"no event has the number {seen} yet, the newest is {answer.last}: this queue file is another one, or"
                " older than the one that was read; begin with a smaller number"
            )
        if answer.events and answer.events[0].number > seen + 1 and seen:
            gone = answer.events[0].number - 1
            yield Event(number=gone, time=0.0, event="not_kept", fields={"first": seen + 1, "last": gone})
        for line in answer.events:
            yield _event(line)
        if answer.events:
            seen = answer.events[-1].number
        elif not follow:
            return
        else:
            pause(LOOK_INTERVAL)


def _asking(after: int, number: int) -> AskEvents:
    return AskEvents(number, after, PAGE)


def _event(line: EventLine) -> Event:
    return Event(number=line.number, time=line.time, event=line.event, batch=line.batch.hex(), fields=dict(line.fields))
