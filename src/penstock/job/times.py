"""Durations and instants as users write them."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

from penstock.job.spec import INSTANT_END

Seconds = float | int | timedelta | str
"""A duration: seconds, a timedelta, or text like ``90s``, ``5m``, ``1h30m``, ``2d``."""
Instant = Seconds | datetime
"""A time of day: an aware datetime, the same as ISO 8601 text, or a duration from now."""

DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)([smhd])")
ISO = re.compile(r"\d{4}-")
"""How text begins that means an instant, not a duration."""
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(value: Seconds, name: str = "a duration") -> float:
    """A duration in seconds: a number, a timedelta, or text like ``90s``, ``5m``, ``1h30m``, ``2d``.

    Raises ValueError for what is none of these, negative or not finite; TypeError for another type.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    elif isinstance(value, str):
        parts = DURATION.findall(value)
        if not parts or "".join(map("".join, parts)) != value:
            raise ValueError(f"{name}: {value!r} is no duration: write 90s, 5m, 2h, 1d or 1h30m")
        value = sum(float(number) * SECONDS[unit] for number, unit in parts)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be seconds, a timedelta or text like '90s', not {type(value).__name__}")
    if not 0 <= value < 1e12:
        raise ValueError(f"{name} must be 0 or more seconds, not {value}")
    return float(value)


def instant(value: Instant, name: str = "an instant") -> float:
    """A wall-clock instant in seconds since the epoch: an aware datetime, the same as ISO 8601 text, or a duration from
    now. Raises ValueError for a naive datetime and for what is none of these; TypeError for another type."""
    if isinstance(value, str) and ISO.match(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{name}: {value!r} is no instant: write 2030-01-31T08:00+01:00") from None
    if not isinstance(value, datetime):
        found = time.time() + seconds(value, name)
    elif value.utcoffset() is None:
        raise ValueError(f"{name}: {value.isoformat()} has no time zone, write {value.isoformat()}+00:00 for UTC")
    else:
        found = max(0.0, value.timestamp())
    if found >= INSTANT_END:
        raise ValueError(f"{name} must lie before the year 9892")
    return found
