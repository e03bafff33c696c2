"""Pickles of things of a script, made in a slot: by name where the client has them, else by value."""

from __future__ import annotations

import io
from types import FunctionType
from typing import Any

from penstock.job import main_module
from penstock.job.pickle_by_value import ValuePickler
from penstock.job.stateless import is_in_script

PROTOCOL = 5
"""See payload.PROTOCOL."""


class NamePickler(ValuePickler):
    """What came from the client's script goes back by its name: it is the very same there."""

    def reducer_override(self, value: Any) -> Any:
        """By name, or as cloudpickle does it."""
        if isinstance(value, FunctionType | type) and is_in_script(value):
            name = value.__qualname__.partition(".")[0]
            if main_module.has_name(name):
                return NotImplemented
        return super().reducer_override(value)


def dumps_named(value: object) -> bytes:
    """Pickle it. Raises what the value's own ``__reduce__`` raises; PicklingError, TypeError."""
    file = io.BytesIO()
    NamePickler(file, PROTOCOL).dump(value)
    return file.getvalue()
