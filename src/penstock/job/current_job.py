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
    """The name of the worker that runs it."""
    slot: int
    """The number of its slot at that worker, from 0."""


class _Place:
    """Where this process is; slots set it, everybody else leaves it alone."""

    job: Callable[[], CurrentJob | None] | None = None
    loading = False
    retiring = False
    forks = 0


def current_job() -> CurrentJob | None:
    """The job that runs in this process: its id, attempt, worker and slot. Returns None outside of a job."""
    return _Place.job() if _Place.job is not None else None


def in_slot() -> bool:
    """Whether this process is a slot: then ``Pipeline()`` is always embedded."""
    return _Place.job is not None


def is_loading() -> bool:
    """Whether this slot is importing the user's module, to which a ``Pipeline()`` made now belongs by mistake."""
    return _Place.loading


def is_retiring() -> bool:
    """Whether this slot's process has been used up: it runs no further job."""
    return _Place.retiring


def retire() -> None:
    """Let this process run no further job (what slots do then; others take no notice)."""
    _Place.retiring = True


def note_fork() -> None:
    """This process is a child that somebody's code has forked (slots' children only)."""
    _Place.forks += 1


def forks() -> int:
    """How often this process has become another one; whoever sees it grow is the child of what ran meanwhile."""
    return _Place.forks


def announce(job: Callable[[], CurrentJob | None]) -> None:
    """Say how the current job is found (slots only)."""
    _Place.job = job


@contextmanager
def loading(*, now: bool) -> Iterator[None]:
    """Say meanwhile whether the user's function is being loaded (slots only)."""
    before, _Place.loading = _Place.loading, now
    try:
        yield
    finally:
        _Place.loading = before
