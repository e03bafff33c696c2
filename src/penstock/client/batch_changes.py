"""What a user changes of a batch, or of a whole pipeline, that is there: whether its jobs may start, in which
order, and how many at once."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING

from msgspec.structs import replace

from penstock.client import whole_numbers
from penstock.errors import NoPipeline, ProtocolError, Refused
from penstock.version import VERSION, is_older
from penstock.wire.desk_messages import AskPipeline, Pause, PipelineInfo, SetBatch
from penstock.wire.records import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.client.session import Session
    from penstock.job.spec import BatchSpec

CHANGES_SINCE = "0.3"
"""A ventilator of an earlier release does not know these messages."""
WHOLE_PIPELINE = b""


class BatchChanges(ABC):
    """What `penstock.Batch` changes of its batch."""

    _session: Session
    _batch: bytes
    _spec: BatchSpec

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

    def set(self, *, priority: int | None = None, limit: int | None = None) -> None:
        """Give the batch another priority or limit, also while it runs. Jobs that run go on; what workers have not
        started is asked back from them, and given out anew by what holds now.

        - `priority`: batches with a larger number go first (None: it stays).
        - `limit`: at most so many of its jobs run at once, on all workers together; while more do, no other one starts.
          A limit that the batch shared with others is its own from now on (None: it stays).

        Returns when the change is on disk. Raises NoSuchBatch; Refused when the batch was submitted with another key
        than yours, which is not an admin's; ValueError, TypeError for a wrong number, or for none.
        """
        changes = changes_of(priority, limit)
        _change(self._session, lambda number: SetBatch(number, self._batch, **changes), "sets nothing anew")
        own = {"limit_group": b""} if "limit" in changes else {}
        self._spec = replace(self._spec, **changes, **own)


def changes_of(priority: int | None, limit: int | None) -> dict[str, int]:
    """What is to be changed. Raises ValueError, TypeError."""
    checked = {
        "priority": None if priority is None else whole_numbers.priority(priority, "priority"),
        "limit": whole_numbers.limit(limit, "limit"),
    }
    changes = {name: value for name, value in checked.items() if value is not None}
    if not changes:
        raise ValueError("nothing to set: give priority, limit or both")
    return changes


def pause(session: Session, batch: bytes, *, resumes: bool = False) -> None:
    """Pause a batch, or the WHOLE_PIPELINE; or let it go on. Raises NoSuchBatch, Refused, NoPipeline."""
    _change(session, lambda number: Pause(number, batch, resumes), "pauses nothing")


def _change(session: Session, make: Callable[[int], Message], cannot: str) -> None:
    try:
        session.ask(make)
    except (NoPipeline, ProtocolError):  # it dropped what it does not know, or said so
        info: PipelineInfo = session.ask(AskPipeline)
        if is_older(info.version, CHANGES_SINCE):
            said = f"the ventilator at {session.url} has penstock {info.version}, which {cannot}"
            raise Refused(f"{said}: upgrade it to penstock {VERSION}") from None
        raise
