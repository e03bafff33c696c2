"""A function that brings an initializer: it runs once in each process, before the function's first job there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from penstock import current

_done: set[bytes] = set()
"""Keys of the initializers that have run in this process."""


class Initialized:
    """A function with its initializer, as the client holds it; in a slot only the plain function is left of it."""

    def __init__(
        self, key: bytes, initializer: Callable[..., Any], initargs: tuple[Any, ...], function: Callable[..., Any]
    ) -> None:
        """`key`: initializers of one key run once in a process, whatever functions bring them."""
        functools.update_wrapper(self, function)
        self._parts = (key, initializer, initargs, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return initialize(*self._parts)(*args, **kwargs)

    def __reduce__(self) -> Any:
        return initialize, self._parts


def initialize(
    key: bytes, initializer: Callable[..., Any], initargs: tuple[Any, ...], function: Callable[..., Any]
) -> Callable[..., Any]:
    """The function, after its initializer; what that raises is the error of the jobs that wait for it."""
    if key not in _done:
        loading = current.is_loading()
        current.set_loading(False)  # an initializer may make a Pipeline, as a job may
        try:
            initializer(*initargs)
        finally:
            current.set_loading(loading)
        _done.add(key)
    return function
