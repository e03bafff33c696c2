"""What users' bytes mean: functions, arguments and values, made by the client and opened by a slot only.

The forms of a chunk (the items are the arguments of its jobs, in the order of their indexes):

========= ============================== ==========================================
form      an item is                     the job is
========= ============================== ==========================================
item      one argument                   ``f(x)``
star      a tuple of arguments           ``f(*x)``
call      ``(args, kwargs)``             ``f(*args, **kwargs)``
blob      an item of form call, by       the same; jobs submitted one by one share
          itself serialized              no objects, and each argument fails alone
========= ============================== ==========================================

A chunk is ``(form, items)`` in the batch's serializer. The chunk of commands is a msgpack list of argument lists and
their function is a CommandTemplate (command.py); commands are never pickled. With ``msgpack`` a function travels as its
name (with what is to be around it, if anything), so nothing of a msgpack batch is ever unpickled.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import msgspec

from penstock.prepared import Initializer, Prepared, Surroundings, prepare

PROTOCOL = 5
"""Of pickle: the newest that Python 3.11 to 3.15 all read."""

MAIN = b"\x8c\x08__main__"
"""In every pickle that names something of ``__main__``, as pickle writes a short text. Searched for from the end, which
takes half the time in a megabyte."""

OPCODE_OF_CLASSES = pickle.STACK_GLOBAL
"""In every pickle of anything but plain data; that can always be rebuilt."""

NO_PICKLE = "PENSTOCK_NO_PICKLE"
"""In the environment of a process that opens no pickles."""

FORMS = frozenset({"item", "star", "call", "blob"})

Bytes = bytes | bytearray | memoryview


def dumps(value: object) -> bytes:
    """Pickle `value`: by pickle if it can be done so and nothing of ``__main__`` is in it, else by cloudpickle.

    Classes and functions of ``__main__`` travel by value, and come back as the very same class. Raises
    pickle.PicklingError, TypeError, AttributeError, or whatever the value's own ``__reduce__`` raises.
    """
    try:
        data = pickle.dumps(value, PROTOCOL)
        if data.rfind(MAIN) < 0:
            return data
    except Exception:  # noqa: BLE001, S110 - a value that pickle refuses is cloudpickle's
        pass
    return _cloudpickled(value)


def _cloudpickled(value: object) -> bytes:
    from penstock import byvalue  # noqa: PLC0415 - cloudpickle is slow to import, and plain data never needs it

    return byvalue.dumps(value, PROTOCOL)


def loads(data: Bytes) -> Any:
    """The value of `dumps`. This runs code of whoever made the bytes. UnpicklingError: this
    process opens none."""
    if os.environ.get(NO_PICKLE):
        raise pickle.UnpicklingError("pickles are not opened here (--no-pickle): submit with serializer='msgpack'")
    return pickle.loads(data)  # noqa: S301 - it is what pickle batches are for


def encode(value: object, serializer: str) -> bytes:
    """`value` in the batch's serializer. Raises what `dumps` raises; TypeError for what msgpack has no form for."""
    return dumps(value) if serializer == "pickle" else msgspec.msgpack.encode(value)


def decode(data: Bytes, serializer: str) -> Any:
    """The value of `encode`."""
    return loads(data) if serializer == "pickle" else msgspec.msgpack.decode(data)


# --------------------------------------------------------------------------------------------------- functions


def function_blob(function: Callable[..., Any], serializer: str) -> bytes:
    """The function as it travels. Raises pickle.PicklingError: it cannot be serialized, with the reason."""
    if serializer == "msgpack":
        return msgspec.msgpack.encode(_named(function) if isinstance(function, Prepared) else _name_of(function))
    try:
        return dumps(function) if not _travels_by_value(function) else _cloudpickled(function)
    except Exception as error:
        raise pickle.PicklingError(f"the function {_label(function)} cannot be pickled: {_reason(error)}") from error


def load_function(blob: Bytes, serializer: str) -> Callable[..., Any]:
    """The function of `function_blob`. Raises what importing its module raises; TypeError if it is not callable."""
    function = loads(blob) if serializer == "pickle" else _found(msgspec.msgpack.decode(blob, type=str | Named))
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    return function  # type: ignore[no-any-return]  # callable() says all there is to say


def _travels_by_value(function: object) -> bool:
    """Whether the user told cloudpickle so (``cloudpickle.register_pickle_by_value``)."""
    cloudpickle = sys.modules.get("cloudpickle")
    by_value = cloudpickle.list_registry_pickle_by_value() if cloudpickle else ()
    return getattr(function, "__module__", None) in by_value


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
            f"the function {_label(function)} cannot be named: with serializer='msgpack' it must be importable"
        )
    return f"{module}:{name}"


def _find(name: str) -> Any:
    module, _, path = name.partition(":")
    return reduce(getattr, path.split("."), importlib.import_module(module))


def _label(function: object) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


# ---------------------------------------------------------------------------------------------- arguments, values


def chunk_blob(form: str, items: Sequence[Any], serializer: str, first: int = 0) -> bytes:
    """The arguments of the jobs [first, first + len(items)).

    Raises pickle.PicklingError that names the first job and argument that cannot be serialized.
    """
    if form not in FORMS:
        raise ValueError(f"{form!r} is no form of a chunk")
    if serializer == "msgpack" and isinstance(items, range):
        items = list(items)
    try:
        return encode((form, items), serializer)
    except Exception as error:
        raise _culprit(form, items, serializer, first) or pickle.PicklingError(_reason(error)) from error


def load_chunk(blob: Bytes, serializer: str) -> tuple[str, list[Any]]:
    """The form and the items of `chunk_blob`."""
    form, items = decode(blob, serializer)
    return form, items if type(items) is list else list(items)


def call_blob(args: Sequence[Any], kwargs: dict[str, Any], serializer: str) -> bytes:
    """One item of form ``blob``. Raises pickle.PicklingError that names the argument that cannot be serialized."""
    item = (tuple(args), kwargs)
    try:
        return encode(item, serializer)
    except Exception as error:
        raise _culprit_argument("", "call", item, serializer) or pickle.PicklingError(_reason(error)) from error


def load_commands(blob: Bytes) -> list[list[bytes]]:
    """The argument lists of a chunk of commands: msgpack of a list of lists."""
    return msgspec.msgpack.decode(blob, type=list[list[bytes]])


def adapted(function: Callable[..., Any], form: str, serializer: str) -> Callable[[Any], Any]:
    """A callable that runs one job from its item of this form."""
    if form == "item":
        return function
    if form == "star":
        return lambda item: function(*item)
    if form == "call":
        return lambda item: function(*item[0], **item[1])
    if form == "blob":
        return lambda item: _call(function, decode(item, serializer))
    raise ValueError(f"{form!r} is no form of a chunk")


def _call(function: Callable[..., Any], item: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    return function(*item[0], **item[1])


def encode_values(values: list[Any], serializer: str) -> bytes:
    """The values of neighbouring jobs as one serialized list. Raises what `encode` raises: see `unpicklable`."""
    return encode(values, serializer)


def decode_values(body: Bytes, serializer: str) -> list[Any]:
    """The list of `encode_values`."""
    return decode(body, serializer)  # type: ignore[no-any-return]  # the slot made it so


def may_break(body: Bytes, serializer: str) -> bool:
    """Whether a list of `encode_values` cannot be rebuilt here: then its values had better travel one by one."""
    if serializer != "pickle" or OPCODE_OF_CLASSES not in body:
        return False
    try:
        loads(body)
    except BaseException:  # noqa: BLE001 - rebuilding runs the classes' own code
        return True
    return False


def unpicklable(values: Sequence[Any], serializer: str) -> dict[int, str]:
    """Which of the values cannot be serialized, by place, with the reason."""
    found = {}
    for place, value in enumerate(values):
        try:
            encode(value, serializer)
        except Exception as error:  # noqa: BLE001 - a value's __reduce__ may raise anything
            found[place] = _reason(error)
    return found


def _culprit(form: str, items: Sequence[Any], serializer: str, first: int) -> pickle.PicklingError | None:
    for place in unpicklable(items, serializer):
        job = f" of job {first + place}" if len(items) > 1 else ""
        return _culprit_argument(job, form, items[place], serializer)
    return None


def _culprit_argument(job: str, form: str, item: Any, serializer: str) -> pickle.PicklingError | None:
    arguments: dict[str, Any] = {"the argument": item}
    if form in {"star", "call"}:
        args, kwargs = (item, {}) if form == "star" else item
        arguments = {f"argument {at}": value for at, value in enumerate(args, 1)}
        arguments |= {f"argument {name!r}": value for name, value in kwargs.items()}
    reasons = unpicklable(list(arguments.values()), serializer)
    for place, reason in reasons.items():
        name, value = list(arguments.items())[place]
        kind = type(value).__name__
        return pickle.PicklingError(f"{name}{job} ({kind}) cannot be serialized by {serializer}: {reason}")
    return None
