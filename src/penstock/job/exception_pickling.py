"""An exception as it travels: rebuilt as pickle does it, and where its class does not let that be, without its help.

Many exceptions cannot be rebuilt by pickle: those whose ``__init__`` takes other arguments than it passes on, and those
that refuse to be written to (frozen dataclasses).
"""

from __future__ import annotations

from typing import Any


class Raised:
    """Stands for an exception in a pickle."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> Any:
        error = self._error
        kind = type(error)
        if kind.__reduce__ is not BaseException.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:
            return given, (error,)  # its class knows better
        return rebuilt, (kind, error.args, vars(error))


def given(error: BaseException) -> BaseException:
    """The exception, which travelled as it is."""
    return error


def rebuilt(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """An exception of this class with these arguments and attributes. Raises what making it raises."""
    try:
        error = kind(*args)
    except Exception:  # noqa: BLE001 - its own __init__ may raise anything
        error = kind.__new__(kind, *args)
    try:
        error.__setstate__(state)
    except Exception:  # noqa: BLE001 - its own __setattr__, too
        vars(error).update(state)
    return error
