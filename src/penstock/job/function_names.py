"""Functions of msgpack batches: they travel as names, so that nothing of such a batch is ever unpickled."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from functools import partial, reduce
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import msgspec

from penstock.job.stateless import LruCache
from penstock.job.wrappers import Initializer, Prepared, Surroundings, prepare

Bytes = bytes | bytearray | memoryview
NAMED = (FunctionType, BuiltinFunctionType, MethodType, LruCache, type)
"""What has a name of its own; anything else is called by that of its class."""


def name_blob(function: Callable[..., Any]) -> bytes:
    """The function of a msgpack batch. Raises pickle.PicklingError: it has no name elsewhere."""
    return msgspec.msgpack.encode(_named(function) if isinstance(function, Prepared) else _name_of(function))


def load_named(blob: Bytes) -> Callable[..., Any]:
    """The function of `name_blob`. Raises what importing its module raises; TypeError if it is not callable."""
    return ensure_callable(_found(msgspec.msgpack.decode(blob, type=str | Named)))


def ensure_callable(function: Any) -> Callable[..., Any]:
    """The function. Raises TypeError: it is none."""
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    return function  # type: ignore[no-any-return]  # callable() says all there is to say


class Named(msgspec.Struct, frozen=True, omit_defaults=True):
    """A Prepared function of a msgpack batch: names and plain data."""

    function: str
    surroundings: Surroundings = Surroundings()
    initializer: str = ""
    key: bytes = b""
    arguments: tuple[Any, ...] = ()


def _named(prepared: Prepared) -> Named:
    function, initializer, surroundings = prepared.parts
    if initializer is None:
        return Named(_name_of(function), surroundings)
    return Named(
        _name_of(function), surroundings, _name_of(initializer.function), initializer.key, initializer.arguments
    )


def _found(named: str | Named) -> Any:
    if isinstance(named, str):
        return _find(named)
    initializer = Initializer(named.key, _find(named.initializer), named.arguments) if named.initializer else None
    return prepare(_find(named.function), initializer, named.surroundings)


def _name_of(function: Callable[..., Any]) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not module or module == "__main__" or "<" in name:
        raise pickle.PicklingError(
            f"the function {label(function)} cannot be named: with serializer='msgpack' it must be importable"
        )
    return f"{module}:{name}"


def _find(name: str) -> Any:
    module, _, path = name.partition(":")
    return reduce(getattr, path.split("."), importlib.import_module(module))


def title(function: Any) -> str:
    """What people call it, in a line that says which one; nothing of it is asked that could run its own code."""
    if isinstance(function, partial):
        return f"partial({title(function.func)})"
    if not isinstance(function, NAMED):
        return type(function).__qualname__
    module = function.__module__
    name = str(function.__qualname__)
    return f"{module}.{name}" if module not in {None, "__main__", "builtins"} else name


def label(function: object) -> str:
    """What people call it."""
    return str(getattr(function, "__qualname__", None) or repr(function))
