"""What a worker or sink says in its log when its ventilator is of another version of penstock."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.station.contract import Log
from penstock.version import VERSION
from penstock.wire.messages import Greeting, Upgrade


def said(message: object) -> Iterator[Log]:
    """What this message of the ventilator's tells of its version."""
    match message:
        case Upgrade(text):
            yield Log("other_version", {"here": VERSION, "advice": text})
        case Greeting(pipeline=b""):  # it is older than Upgrade is
            fields = {
                "version": "older than 0.3",
                "here": VERSION,
                "advice": f"upgrade the ventilator to penstock {VERSION}",
            }
            yield Log("other_version", fields)
