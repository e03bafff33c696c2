"""Python functions on the command line: which one is called, and with what."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from importlib import import_module
from typing import Any

from penstock.errors import ConfigError


def arguments(items: Iterator[bytes], kind: str) -> Iterator[Any]:
    """What each call is given: text, or what a line says in JSON. ConfigError: it is none."""
    if kind == "text":
        return map(os.fsdecode, items)
    return (json_of(number, item) for number, item in enumerate(items, 1))


def json_of(number: int, item: bytes) -> Any:
    """The value. ConfigError: it is no JSON."""
    try:
        return json.loads(item)
    except ValueError as error:
        raise ConfigError(f"input line {number} is not JSON: {error}") from None


def function(flag: str, name: str) -> Callable[..., Any]:
    """The function ``package.module:name``, also of a module in the current folder."""
    module, _, path = name.partition(":")
    if not module or not path:
        raise ConfigError(f"{flag} {name}: write MODULE:FUNCTION, like math:sqrt")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = reduce(getattr, path.split("."), import_module(module))
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{flag} {name}: {error}") from None
    if not callable(found):
        raise ConfigError(f"{flag} {name}: it is a {type(found).__name__}, which cannot be called")
    return found
