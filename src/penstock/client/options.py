"""Job options: what a user may say about jobs, and the BatchSpec it comes to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from penstock.job import BatchSpec

Seconds = float | int | timedelta | str

DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

SERIALIZERS = ("pickle", "msgpack")
NAME_LENGTH = 256
"""Characters: what a label on the wire may have."""
PRIORITY_BOUND = 2**31


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


def _name(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if len(value) > NAME_LENGTH:
        raise ValueError(f"{name} has {len(value)} characters, at most {NAME_LENGTH} are allowed")
    return value


def _whole(lowest: int) -> Callable[[object, str], int]:
    def parse(value: object, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
        if not lowest <= value < PRIORITY_BOUND:
            raise ValueError(f"{name} must be from {lowest} to {PRIORITY_BOUND - 1}, not {value}")
        return value

    return parse


def _time_limit(value: Any, name: str) -> float | None:
    limit = None if value is None else seconds(value, name)
    if limit == 0:
        raise ValueError(f"{name} must be more than 0 seconds, or None")
    return limit


def _serializer(value: object, name: str) -> str:
    if value not in SERIALIZERS:
        raise ValueError(f"{name} must be 'pickle' or 'msgpack', not {value!r}")
    return str(value)


def _check(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}")
    return value


PARSERS: dict[str, Callable[[Any, str], Any]] = {
    "name": _name,
    "priority": _whole(-PRIORITY_BOUND),
    "retries": _whole(0),
    "retry_delay": seconds,
    "max_crashes": _whole(1),
    "time_limit": _time_limit,
    "retain": seconds,
    "serializer": _serializer,
}
"""The options of every job."""

COMMAND_PARSERS = {**PARSERS, "check": _check}
"""Commands have these too, and ``cwd`` and ``env``."""


def spec_of(options: Mapping[str, Any], *, kind: str = "call") -> BatchSpec:
    """The options as a BatchSpec. TypeError: an unknown one, named beside the known; ValueError: a wrong value."""
    known = COMMAND_PARSERS if kind == "command" else PARSERS
    changes: dict[str, Any] = {"kind": kind}
    for name, value in options.items():
        if name not in known:
            raise TypeError(f"unknown option {name!r}; known are {', '.join(known)}")
        changes[name] = known[name](value, name)
    return BatchSpec(**changes)


def argument_bytes(value: object) -> bytes:
    """One argument of a command: bytes as they are, text and paths as the file system has them, numbers as text.

    Raises ValueError for a zero byte, TypeError for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"an argument of a command must be text, bytes, a path or a number, not {type(value).__name__}")
    data = os.fsencode(value)
    if b"\0" in data:
        raise ValueError(f"an argument of a command cannot hold a zero byte: {data[:80]!r}")
    return data


def environment_bytes(env: Mapping[Any, Any] | None) -> dict[bytes, bytes]:
    """What a command's environment has beyond the worker's."""
    return {argument_bytes(name): argument_bytes(value) for name, value in (env or {}).items()}
