"""Which job this process is running: what ``penstock.current_job()`` tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec


class CurrentJob(msgspec.Struct, frozen=True):
    """The job whose code asks."""

    id: str
    """The name of the job, ``BATCH:INDEX``."""
    attempt: int
    """The number of this attempt, from 1."""
    worker: str
    """The name that the worker which runs it was started with."""
    slot: int
    """The number of its slot at that worker, from 0."""


class _Here:
    """Where this process is; slots set it, everybody else leaves it alone."""

    def __init__(self) -> None:
        self.job: Callable[[], CurrentJob | None] | None = None
        """How the current job is found; None: this process is no slot."""
        self.loading: bool = False
        """It is importing the user's module, to which a ``Pipeline()`` made now belongs by mistake."""
        self.retiring: bool = False
        """It has been used up: it runs no further job."""
        self.forks: int = 0
        """How often it has become another process, a child that somebody's code has forked (of slots' children only);
        whoever sees it grow is the child of what ran meanwhile."""


here: _Here = _Here()


def current_job() -> CurrentJob | None:
    """The job that runs in this process: its id, attempt, worker and slot. Returns None outside of a job."""
    return here.job() if here.job is not None else None


def in_slot() -> bool:
    """Whether this process is a slot: then ``Pipeline()`` is always embedded."""
    return here.job is not None


@contextmanager
def loading(*, now: bool) -> Iterator[None]:
    """Say meanwhile whether the user's function is being loaded (slots only)."""
    before, here.loading = here.loading, now
    try:
        yield
    finally:
        here.loading = before
