"""A function that uses its process up: after so many runs of it the slot goes on in a new process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from penstock.job import current_job

_runs: dict[bytes, int] = {}
"""Runs in this process, by key."""


class Limited:
    """Runs the function; after `limit` runs of one key in a process that process takes no more jobs.

    Raises nothing of its own; a run that fails is a run.
    """

    def __init__(self, key: bytes, limit: int, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._parts = (key, limit, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key, limit, function = self._parts
        try:
            return function(*args, **kwargs)
        finally:
            _runs[key] = _runs.get(key, 0) + 1
            if _runs[key] >= limit:
                current_job.here.retiring = True

    @property
    def wraps_only(self) -> tuple[Any, ...]:
        """What of it can have a state."""
        return (self._parts[2],)

    def __reduce__(self) -> Any:
        return Limited, self._parts
