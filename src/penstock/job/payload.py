"""What users' bytes mean: functions, arguments and values, made by the client and opened by a slot only.

The forms of a chunk (the items are the arguments of its jobs, in the order of their indexes):

========= ============================== ==========================================
form      an item is                     the job is
========= ============================== ==========================================
item      one argument                   ``f(x)``
star      a tuple of arguments           ``f(*x)``
call      ``(args, kwargs)``             ``f(*args, **kwargs)``
*blob     the item, by itself serialized the same; each item is a pickle of its own
========= ============================== ==========================================

A chunk is ``(form, items)`` in the batch's serializer. No object is ever in two jobs: items travel together as one
pickle only where all of them are plain values (stateless.py), which nobody can change; else each is a pickle of its
own, in the forms ``itemblob``, ``starblob`` and ``blob`` (of a call). Values travel back the same way: as one pickle of
a list of plain values, or as a msgpack list of pickles, each made when its job ended. The chunk of commands is a
msgpack list of argument lists and their function is a CommandTemplate (command.py); commands are never pickled. With
``msgpack`` a function travels as its name (with what is to be around it, if anything), so nothing of a msgpack batch is
ever unpickled.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from penstock.job import current_job
from penstock.job.originals import os, pickle
from penstock.job.stateless import are_plain

PROTOCOL = 5
"""Of pickle: the newest that Python 3.11 to 3.15 all read."""

MAIN = b"\x8c\x08__main__"
"""In every pickle that names something of ``__main__``, as pickle writes a short text. Searched for from the end, which
takes half the time in a megabyte."""

PICKLED = pickle.PROTO
"""First byte of every pickle; a msgpack list begins with another one."""

NO_PICKLE = "PENSTOCK_NO_PICKLE"
"""In the environment of a process that opens no pickles."""

FORMS = {"item": "itemblob", "star": "starblob", "call": "blob"}
"""Each with the form in which its items are serialized one by one."""

NUMBERS = frozenset({int, float, bool, type(None)})
"""What pickle writes again and again and remembers nothing of."""
MEMO_OF_A_CHUNK = 3
"""Its form, its items as a list, and both together."""

Bytes = bytes | bytearray | memoryview


class Dumper(Protocol):
    """Pickles values, each as if alone."""

    def dumps(self, value: object) -> bytes:
        """One value as bytes."""

    def dumps_each(self, values: Sequence[object]) -> list[bytes]:
        """Several values, each as bytes of its own."""


class Alone(NamedTuple):
    """One value, serialized by itself."""

    data: bytes


class Unreadable(NamedTuple):
    """In the place of a value that cannot be rebuilt here."""

    error: BaseException


def dumps(value: object) -> bytes:
    """Pickle `value`: by pickle if it can be done so and nothing of ``__main__`` is in it, else by cloudpickle.

    Classes and functions of the script travel by name where the client is known to have them under it, else by value,
    and come back as the very same class. Raises pickle.PicklingError, TypeError, AttributeError, or whatever the
    value's own ``__reduce__`` raises.
    """
    try:
        data = pickle.dumps(value, PROTOCOL)
        if data.rfind(MAIN) < 0:
            return data
    except Exception:  # noqa: BLE001, S110 - a value that pickle refuses is cloudpickle's
        pass
    # cloudpickle is slow to import, and plain data needs none
    from penstock.job.main_pickling import dumps_named  # noqa: PLC0415

    return dumps_named(value)


def loads(data: Bytes) -> Any:
    """The value of `dumps`. This runs code of whoever made the bytes. UnpicklingError: this
    process opens none."""
    if os.environ.get(NO_PICKLE):
        raise pickle.UnpicklingError("pickles are not opened here (--no-pickle): submit with serializer='msgpack'")
    return pickle.loads(data)


def loads_for_job(data: Bytes) -> Any:
    """What a job is about to be given, or called. What that forks while it is made is not to run the job."""
    before = current_job.here.forks
    value = loads(data)
    if current_job.here.forks != before:
        raise SystemExit(0)
    return value


def encode(value: object, serializer: str) -> bytes:
    """`value` in the batch's serializer. Raises what `dumps` raises; TypeError for what msgpack has no form for."""
    return dumps(value) if serializer == "pickle" else msgspec.msgpack.encode(value)


def decode(data: Bytes, serializer: str) -> Any:
    """The value of `encode`."""
    return loads(data) if serializer == "pickle" else msgspec.msgpack.decode(data)


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """A job whose function is one of its arguments: what has a state of its own travels with each job anew."""
    return function(*args, **kwargs)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


# ---------------------------------------------------------------------------------------------- arguments, values


def chunk_blob(form: str, items: Sequence[Any], serializer: str, first: int = 0, dumper: Dumper | None = None) -> bytes:
    """The arguments of the jobs [first, first + len(items)). `dumper` pickles single items (default: `dumps`).

    Raises pickle.PicklingError that names the first job and argument that cannot be serialized.
    """
    if form not in FORMS:
        raise ValueError(f"{form!r} is no form of a chunk")
    if serializer == "msgpack" and isinstance(items, range):
        items = list(items)
    try:
        begins_with_number = len(items) > 0 and type(items[0]) in NUMBERS
        if serializer == "pickle" and begins_with_number and (blob := _of_numbers(form, items)):
            return blob
        if serializer == "pickle" and not isinstance(items, range) and not are_plain(items):
            form, items = FORMS[form], _blobs(items, dumper)
        return _joined((form, items), serializer)
    except Exception as error:
        raise _culprit(form, items, serializer, first, dumper) or pickle.PicklingError(_reason(error)) from error


def _of_numbers(form: str, items: Sequence[Any]) -> bytes | None:
    """The chunk, if all of its items are numbers. To look at each would cost half as much as its pickle; but all else
    is in the pickler's memo."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, PROTOCOL)
    pickler.dump((form, items))
    return file.getvalue() if len(pickler.memo.copy()) <= MEMO_OF_A_CHUNK else None


def _blobs(items: Sequence[Any], dumper: Dumper | None) -> list[bytes]:
    if Alone in set(map(type, items)):
        return [item.data if type(item) is Alone else _dumps(item, dumper) for item in items]
    return [dumps(item) for item in items] if dumper is None else dumper.dumps_each(items)


def alone(form: str, item: Any, index: int, dumper: Dumper) -> Alone:
    """An item serialized as it is now. Raises pickle.PicklingError that names the job and the argument."""
    try:
        return Alone(dumper.dumps(item))
    except Exception as error:
        culprit = _culprit_argument(f" of job {index}", form, item, "pickle", dumper)
        raise culprit or pickle.PicklingError(_reason(error)) from error


def _dumps(value: object, dumper: Dumper | None) -> bytes:
    return dumps(value) if dumper is None else dumper.dumps(value)


def blobs_chunk(blobs: Sequence[bytes], serializer: str) -> bytes:
    """The chunk of calls that are serialized already."""
    return _joined(("blob", blobs), serializer)


def _joined(value: object, serializer: str) -> bytes:
    return pickle.dumps(value, PROTOCOL) if serializer == "pickle" else msgspec.msgpack.encode(value)


def load_chunk(blob: Bytes, serializer: str) -> tuple[str, list[Any]]:
    """The form and the items of `chunk_blob`."""
    form, items = decode(blob, serializer)
    return form, items if type(items) is list else list(items)


def call_blob(args: Sequence[Any], kwargs: dict[str, Any], serializer: str, dumper: Dumper | None = None) -> bytes:
    """One item of form ``blob``. Raises pickle.PicklingError that names the argument that cannot be serialized."""
    item = (tuple(args), kwargs)
    try:
        return _dumps(item, dumper) if serializer == "pickle" else msgspec.msgpack.encode(item)
    except Exception as error:
        culprit = _culprit_argument("", "call", item, serializer, dumper)
        raise culprit or pickle.PicklingError(_reason(error)) from error


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
    if form == "itemblob":
        return lambda item: function(loads_for_job(item))
    if form == "starblob":
        return lambda item: function(*loads_for_job(item))
    if form == "blob":
        return lambda item: _call(function, loads_for_job(item) if serializer == "pickle" else decode(item, serializer))
    raise ValueError(f"{form!r} is no form of a chunk")


def _call(function: Callable[..., Any], item: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    return function(*item[0], **item[1])


def encode_values(values: list[Any], serializer: str, *, are_plain: bool = False) -> bytes:
    """The values of neighbouring jobs: plain ones, and unless it is known that there are none, those that are `Alone`
    already. Raises what `encode` raises."""
    if are_plain or Alone not in set(map(type, values)):
        return _joined(values, serializer)
    if serializer == "msgpack":
        return msgspec.msgpack.encode([msgspec.Raw(value.data) if type(value) is Alone else value for value in values])
    return msgspec.msgpack.encode([value.data if type(value) is Alone else dumps(value) for value in values])


class Partial(list[Any]):
    """Values of which some are Unreadable."""


def decode_values(body: Bytes, serializer: str) -> list[Any]:
    """The list of `encode_values`; a Partial one if a value cannot be rebuilt here."""
    if serializer == "msgpack":
        return msgspec.msgpack.decode(body)  # type: ignore[no-any-return]  # the slot made it so
    if body[:1] == PICKLED:
        return loads(body)  # type: ignore[no-any-return]
    blobs = msgspec.msgpack.decode(body, type=list[memoryview])
    try:
        return list(map(loads, blobs))
    except (Exception, SystemExit):  # noqa: BLE001 - see _readable
        values = list(map(_readable, blobs))
    return Partial(values) if any(type(value) is Unreadable for value in values) else values


def _readable(blob: memoryview) -> Any:
    try:
        return loads(blob)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - rebuilding runs the classes' own code, which may even exit
        return Unreadable(error)


def unpicklable(values: Sequence[Any], serializer: str, dumper: Dumper | None = None) -> dict[int, str]:
    """Which of the values cannot be serialized, by place, with the reason."""
    found = {}
    for place, value in enumerate(values):
        try:
            _dumps(value, dumper) if serializer == "pickle" else msgspec.msgpack.encode(value)
        except Exception as error:  # noqa: BLE001 - a value's __reduce__ may raise anything
            found[place] = _reason(error)
    return found


def _culprit(
    form: str, items: Sequence[Any], serializer: str, first: int, dumper: Dumper | None
) -> pickle.PicklingError | None:
    for place in unpicklable(items, serializer, dumper):
        job = f" of job {first + place}" if len(items) > 1 else ""
        return _culprit_argument(job, form, items[place], serializer, dumper)
    return None


def _culprit_argument(
    job: str, form: str, item: Any, serializer: str, dumper: Dumper | None
) -> pickle.PicklingError | None:
    arguments: dict[str, Any] = {"the argument": item}
    if form in {"star", "call"}:
        args, kwargs = (item, {}) if form == "star" else item
        arguments = {f"argument {at}": value for at, value in enumerate(args, 1)}
        arguments |= {f"argument {name!r}": value for name, value in kwargs.items()}
    reasons = unpicklable(list(arguments.values()), serializer, dumper)
    for place, reason in reasons.items():
        name, value = list(arguments.items())[place]
        kind = type(value).__name__
        return pickle.PicklingError(f"{name}{job} ({kind}) cannot be serialized by {serializer}: {reason}")
    return None
