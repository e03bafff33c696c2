"""What a user changes of a batch, or of a whole pipeline, that is there: whether its jobs may start."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING

from penstock.errors import NoPipeline, Refused
from penstock.version import VERSION, is_older
from penstock.wire.desk_messages import AskPipeline, Pause, PipelineInfo
from penstock.wire.records import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.client.session import Session

CHANGES_SINCE = "0.3"
"""A ventilator of an earlier release drops these messages."""
WHOLE_PIPELINE = b""


class BatchChanges(ABC):
    """What `penstock.Batch` changes of its batch."""

    _session: Session
    _batch: bytes

    def pause(self) -> None:
        """Start no job of the batch any more, until `resume`. Jobs that run go on, and their outcomes are recorded;
        what workers have not started is asked back from them; retries wait, too. Jobs can still be added, cancelled,
        retried and deleted meanwhile, and the pause outlasts restarts.

        Returns when the pause is on disk. A job that a worker was about to start at that moment may still start. Raises
        NoSuchBatch, and Refused when the batch was submitted with another key than yours, which is not an admin's.
        """
        pause(self._session, self._batch)

    def resume(self) -> None:
        """Let a batch that was paused go on. It still waits while the whole pipeline is paused. Raises what `pause`
        raises."""
        pause(self._session, self._batch, resumes=True)


def pause(session: Session, batch: bytes, *, resumes: bool = False) -> None:
    """Pause a batch, or the WHOLE_PIPELINE; or let it go on. Raises NoSuchBatch, Refused, NoPipeline."""
    _change(session, lambda number: Pause(number, batch, resumes), "pauses nothing")


def _change(session: Session, make: Callable[[int], Message], cannot: str) -> None:
    try:
        session.ask(make)
    except NoPipeline:
        info: PipelineInfo = session.ask(AskPipeline)
        if is_older(info.version, CHANGES_SINCE):
            said = f"the ventilator at {session.url} has penstock {info.version}, which {cannot}"
            raise Refused(f"{said}: upgrade it to penstock {VERSION}") from None
        raise
