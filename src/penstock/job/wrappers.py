"""A function with what its jobs want around them: an initializer, a working folder, environment variables."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from penstock.job import current_job

_done: set[bytes] = set()
"""Keys of the initializers that have run in this process."""

INITIALIZER_NOTE = "in the initializer"
"""Put on what an initializer raises: it is nothing that the job has done."""


class Initializer(msgspec.Struct, frozen=True):
    """What runs once in a process for each `key`, whatever functions bring it."""

    key: bytes
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Surroundings(msgspec.Struct, frozen=True):
    """Where and among which variables a job runs: `folder` (None: where its slot is), and what is added to the
    environment."""

    folder: str | None = None
    variables: dict[str, str] = {}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Be there for a while. Raises OSError: there is no such folder here."""
        # the folder itself, which may have lost its name
        here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY)) if self.folder is not None else None
        before = {name: os.environ.get(name) for name in self.variables}
        try:
            if self.folder is not None:
                self._enter(self.folder)
            os.environ.update(self.variables)
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            if here is not None:
                with contextlib.suppress(OSError):  # a job has closed all files that it did not know
                    os.fchdir(here)
                    os.close(here)

    @staticmethod
    def _enter(folder: str) -> None:
        try:
            os.chdir(folder)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise type(error)(error.errno, f"cannot run in the folder {folder}: {reason}") from None


def run_initializer(
    key: bytes, load: Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]], surroundings: Surroundings
) -> None:
    """Run an initializer, unless it has run here. Raises what it raises, with a note; the next one tries again."""
    if key in _done:
        return
    there = surroundings() if surroundings != Surroundings() else contextlib.nullcontext()
    try:
        function, arguments = load()
        with current_job.loading(now=False), there:  # an initializer may make a Pipeline, as a job may
            function(*arguments)
    except BaseException as error:
        error.add_note(INITIALIZER_NOTE)
        raise
    _done.add(key)


class Placed:
    """A function that runs in its surroundings."""

    def __init__(self, function: Callable[..., Any], surroundings: Surroundings) -> None:
        self._function = function
        self._surroundings = surroundings

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._surroundings():
            return self._function(*args, **kwargs)

    @property
    def wraps_only(self) -> tuple[Any, ...]:
        """What of it can have a state."""
        return (self._function,)


class Prepared:
    """The function as the client holds it; in a slot only `prepare` is left of it."""

    def __init__(
        self, function: Callable[..., Any], initializer: Initializer | None, surroundings: Surroundings
    ) -> None:
        functools.update_wrapper(self, function)
        self.parts: tuple[Callable[..., Any], Initializer | None, Surroundings] = (function, initializer, surroundings)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return prepare(*self.parts)(*args, **kwargs)

    def __reduce__(self) -> Any:
        return prepare, self.parts


def prepare(
    function: Callable[..., Any], initializer: Initializer | None, surroundings: Surroundings
) -> Callable[..., Any]:
    """The function, in its surroundings, after its initializer; what that raises is the error of the jobs that wait."""
    if initializer is not None:
        run_initializer(initializer.key, lambda: (initializer.function, initializer.arguments), surroundings)
    return function if surroundings == Surroundings() else Placed(function, surroundings)
