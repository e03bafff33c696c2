"""The errors that users meet when the ventilator does not accept something."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from penstock import errors
from penstock.errors import PenstockError
from penstock.job.display import printable
from penstock.wire.desk_messages import GoneLine, Known, Refused
from penstock.wire.records import Bytes, Message


class AcceptedBeforeError(PenstockError):
    """The same call was accepted before under its word of ``once``: as `batch`, and whole if that is `closed`."""

    def __init__(self, known: Known) -> None:
        super().__init__(f"accepted before, as batch {known.batch.hex()}")
        self.batch: bytes = known.batch
        self.closed: bool = known.closed


def error_named(refusal: Refused | Known | GoneLine) -> PenstockError:
    """The error that a station's answer names."""
    if isinstance(refusal, Known):
        return AcceptedBeforeError(refusal)
    kind = getattr(errors, refusal.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, PenstockError)):
        kind = PenstockError
    return kind(printable(refusal.text))


def settling(answer: Future[tuple[Any, Bytes]]) -> Callable[[Message, Bytes], None]:
    """What makes a station's answer the result of this future, or the error it names its exception."""

    def settle(message: Message, payload: Bytes) -> None:
        if isinstance(message, Refused):
            answer.set_exception(error_named(message))
        else:
            answer.set_result((message, payload))

    return settle
