"""A record as a line of JSON that every reader of JSON takes (RFC 8259), whatever is in it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

DEPTH = 100
"""Of lists in lists; what is deeper is written as text."""


def json_text(record: Mapping[str, Any], as_text: Callable[[Any], str], on_lost: Callable[[], None]) -> str:
    """The line. What JSON has no form for is written as text, NaN and infinity as null; `on_lost` is told of those."""
    try:
        return json.dumps(record, default=as_text, allow_nan=False)
    except (
        TypeError,
        ValueError,
        RecursionError,
    ):  # a number that is none, a key that is no text, a value within itself
        return json.dumps({name: _plain(value, as_text, on_lost, ()) for name, value in record.items()})


def _plain(value: Any, as_text: Callable[[Any], str], on_lost: Callable[[], None], within: tuple[int, ...]) -> Any:
    """A value that JSON has a form for; `within`: what it stands in."""
    if isinstance(value, float) and not math.isfinite(value):
        on_lost()
        return None
    if value is None or isinstance(value, str | float) or (isinstance(value, int) and _is_written(value)):
        return value
    if id(value) in within or len(within) > DEPTH or not isinstance(value, dict | list | tuple):
        return as_text(value)
    within = (*within, id(value))
    if isinstance(value, dict):
        return {_key(key, as_text): _plain(one, as_text, on_lost, within) for key, one in value.items()}
    return [_plain(one, as_text, on_lost, within) for one in value]


def _key(key: Any, as_text: Callable[[Any], str]) -> Any:
    is_number = (isinstance(key, int) and _is_written(key)) or (isinstance(key, float) and math.isfinite(key))
    return key if key is None or isinstance(key, str) or is_number else as_text(key)


def _is_written(number: int) -> bool:
    """Whether Python writes it in decimal: it refuses to where that would take long."""
    try:
        str(number)
    except ValueError:
        return False
    return True
