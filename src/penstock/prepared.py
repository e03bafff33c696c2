"""A function with what its jobs want around them: an initializer, a working folder, environment variables."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from penstock import current

_done: set[bytes] = set()
"""Keys of the initializers that have run in this process."""

INITIALIZER_NOTE = "in the initializer"
"""Put on what an initializer raises: it is nothing that the job has done."""


class Initializer(msgspec.Struct, frozen=True):
    """What runs once in a process for each `key`, whatever functions bring it."""

    key: bytes
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def run(self) -> None:
        """Unless it has run here."""
        if self.key in _done:
            return
        loading = current.is_loading()
        current.set_loading(False)  # an initializer may make a Pipeline, as a job may
        try:
            self.function(*self.arguments)
        except BaseException as error:
            error.add_note(INITIALIZER_NOTE)
            raise
        finally:
            current.set_loading(loading)
        _done.add(self.key)


class Surroundings(msgspec.Struct, frozen=True):
    """Where and among which variables a job runs: `folder` (None: where its slot is), and what is added to the
    environment."""

    folder: str | None = None
    variables: dict[str, str] = {}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Be there for a while. Raises OSError: there is no such folder here."""
        here = os.getcwd() if self.folder is not None else None
        before = {name: os.environ.get(name) for name in self.variables}
        if self.folder is not None:
            self._enter(self.folder)
        os.environ.update(self.variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            if here is not None:
                with contextlib.suppress(OSError):  # it was removed meanwhile
                    os.chdir(here)

    @staticmethod
    def _enter(folder: str) -> None:
        try:
            os.chdir(folder)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise type(error)(error.errno, f"cannot run in the folder {folder}: {reason}") from None


class Prepared:
    """The function as the client holds it; in a slot only `prepare` is left of it."""

    def __init__(
        self, function: Callable[..., Any], initializer: Initializer | None, surroundings: Surroundings
    ) -> None:
        functools.update_wrapper(self, function)
        self.parts = (function, initializer, surroundings)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return prepare(*self.parts)(*args, **kwargs)

    def __reduce__(self) -> Any:
        return prepare, self.parts

    @property
    def bare(self) -> Prepared:
        """The same without the key of its initializer, which is new each time: what tells it from other calls."""
        function, initializer, surroundings = self.parts
        unnamed = None if initializer is None else Initializer(b"", initializer.function, initializer.arguments)
        return Prepared(function, unnamed, surroundings)


def prepare(
    function: Callable[..., Any], initializer: Initializer | None, surroundings: Surroundings
) -> Callable[..., Any]:
    """The function, in its surroundings, after its initializer; what that raises is the error of the jobs that wait."""
    is_somewhere = surroundings != Surroundings()
    if initializer is not None:
        with surroundings() if is_somewhere else contextlib.nullcontext():
            initializer.run()
    if not is_somewhere:
        return function

    def placed(*args: Any, **kwargs: Any) -> Any:
        with surroundings():
            return function(*args, **kwargs)

    return placed
