"""What a job was given, as text for people: values, and what was read of a pickle without opening it
(unopened_pickle.py).

Promises:

1. A text has a bound: what is beyond `room` characters is dots, whatever the value is.
2. No code of the value's own runs: plain values are written as Python has them, all else by its name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from penstock.job.unopened_pickle import Made, Members, Name, Pairs

DEPTH = 12
"""What is nested deeper is shown as dots: nobody reads further, and it must not exhaust the stack."""
MOST_BITS = 4096
"""A larger number is shown by its size: to write it in decimal takes the square of its length."""
SIMPLE: frozenset[type] = frozenset({str, int, float, complex, bool, type(None)})
"""Arguments that say what is made of them: ``Decimal('1.5')``."""
TELLING: frozenset[type] = SIMPLE | {list, tuple, Pairs, Members}
"""They may be in lists and dicts."""
DATE, DATETIME = struct.Struct(">HBB"), struct.Struct(">HBBBBB3s")
"""How pickle has them."""
ARRAYS = frozenset({"_frombuffer", "_reconstruct"})
"""What numpy's arrays are made by."""
NUMPY_NUMBERS = {"b1": "?", "f2": "e", "f4": "f", "f8": "d"} | {
    f"{sign}{size}": letter.upper() if sign == "u" else letter
    for sign in "iu"
    for size, letter in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
}
"""Types of numpy's numbers, each with the letter that `struct` has for it."""
METHOD_MAKER = Name("cloudpickle.cloudpickle", "_builtin_type")
SKELETONS = frozenset({"_make_skeleton_class", "_make_skeleton_enum"})
"""What cloudpickle makes a class of that travels as code: its second argument is the name."""
REBUILDS = frozenset({Name("copyreg", "_reconstructor"), Name("copyreg", "__newobj__")})
"""What makes objects of the class that is its first argument."""
DOTS = "..."


class _Full(Exception):  # noqa: N818 - it ends a text, nothing is wrong
    """There is no more room."""


def value_text(value: Any, room: int) -> str:
    """One value in about so many characters."""
    return _written(room, lambda writer: writer.value(value, 0))


def call_text(function: str, arguments: Iterable[Any], keywords: Iterable[tuple[Any, Any]], room: int) -> str:
    """A call as one would type it, in about so many characters."""

    def write(writer: _Writer) -> None:
        writer.put(f"{function}(")
        writer.call(arguments, keywords, 0)
        writer.put(")")

    return _written(room, write)


def _written(room: int, write: Any) -> str:
    writer = _Writer(room)
    try:
        write(writer)
    except _Full:
        writer.parts.append(DOTS)
    return "".join(writer.parts)


class _Writer:
    def __init__(self, room: int) -> None:
        self.parts: list[str] = []
        self._room = room

    def put(self, text: str) -> None:
        if len(text) > self._room:
            self.parts.append(text[: self._room])
            raise _Full
        self._room -= len(text)
        self.parts.append(text)

    def value(self, value: Any, depth: int) -> None:
        if depth > DEPTH:
            self.put(DOTS)
            return
        kind = type(value)
        if kind in {str, bytes, bytearray}:
            self._text(value)
        elif kind is int and value.bit_length() > MOST_BITS:
            self.put(f"<number of {value.bit_length()} bits>")
        elif kind in SIMPLE:
            self.put(repr(value))
        elif kind is list:
            self._each("[", value, "]", depth)
        elif kind is tuple:
            self._each("(", value, ",)" if len(value) == 1 else ")", depth)
        elif kind in {dict, Pairs}:
            self._pairs(value.items() if kind is dict else value.pairs, depth)
        elif kind in {Members, set, frozenset}:
            self._members(value, depth)
        elif kind is Name:
            self.put(value.label)
        elif kind is Made:
            self._made(value, depth)
        else:
            self.put(f"<{kind.__qualname__}>")

    def _text(self, value: str | bytes | bytearray) -> None:
        self.put(repr(value[: self._room + 1]))  # a little more than there is room for, so that it is seen to go on

    def _each(self, begin: str, values: Iterable[Any], end: str, depth: int) -> None:
        self.put(begin)
        for place, value in enumerate(values):
            self.put(", " if place else "")
            self.value(value, depth + 1)
        self.put(end)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> None:
        self.put("{")
        for place, (key, value) in enumerate(pairs):
            self.put(", " if place else "")
            self.value(key, depth + 1)
            self.put(": ")
            self.value(value, depth + 1)
        self.put("}")

    def _members(self, value: Any, depth: int) -> None:
        kind, items = (value.kind, value.items) if type(value) is Members else (type(value).__name__, value)
        if kind == "set" and items:
            self._each("{", items, "}", depth)
        else:
            self._each(f"{kind}(", ([items] if items else []), ")", depth)

    def call(self, arguments: Iterable[Any], keywords: Iterable[tuple[Any, Any]], depth: int) -> None:
        """Between the parentheses of a call."""
        place = 0
        for value in arguments:
            self.put(", " if place else "")
            self.value(value, depth + 1)
            place += 1
        for name, value in keywords:
            self.put(", " if place else "")
            self.put(f"{name}=" if type(name) is str else "**")
            self.value(value, depth + 1)
            place += 1

    def _made(self, made: Made, depth: int) -> None:
        """An object: by its name, with what it was made of where that says something."""
        if name := function_name(made):
            self.put(name)
            return
        made_by = made.what if type(made.what) is Name else _travelling_class(made.what)
        if made_by is None:
            self.put("<object>")
            return
        if (number := numpy_number(made)) is not None:
            self.put(repr(number))
            return
        module, name = made_by
        arguments = made.arguments if type(made.arguments) is tuple else ()
        state = made.state.pairs if type(made.state) is Pairs else ()
        if module.partition(".")[0] == "numpy" and name in ARRAYS:
            name, arguments, state = "ndarray", (), _shape(made)
        if module == "copyreg" and arguments and type(arguments[0]) is Name:
            name, arguments = arguments[0].name, ()
        if module.partition(".")[0] == "pathlib" and all(type(part) is str for part in arguments):
            arguments = _path(name, arguments)  # in its parts or in one, by the Python that pickled it
        arguments = (*arguments, *([made.items] if made.items else []), *([Pairs(made.pairs)] if made.pairs else []))
        short = name.rpartition(".")[2]
        if module == "datetime" and (numbers := _numbers(name, arguments)):
            self.put(f"{name}({numbers})")
        elif (
            all(type(key) is str for key, _ in state)
            and all(type(one) in TELLING for one in arguments)
            and (state or arguments)
        ):
            self.put(f"{short}(")
            self.call(arguments, state, depth)
            self.put(")")
        else:
            self.put(f"{short}({DOTS})" if made.arguments or made.state is not None else f"{short}()")


def numpy_number(made: Made) -> int | float | None:
    """The number that a scalar of numpy is; None: it is none."""
    if type(made.what) is not Name or made.what.module.partition(".")[0] != "numpy" or made.what.name != "scalar":
        return None
    if type(made.arguments) is not tuple or len(made.arguments) != 2:
        return None
    dtype, data = made.arguments
    letter = NUMPY_NUMBERS.get(_dtype(dtype), "")
    if not letter or type(data) is not bytes or len(data) != struct.calcsize(f"={letter}"):
        return None
    order = ">" if type(dtype.state) is tuple and dtype.state[1:2] == (">",) else "<"
    number: int | float = struct.unpack(order + letter, data)[0]
    return number


def _dtype(dtype: Any) -> str:
    """What numpy calls a type of its own: ``f8``; empty: it is none."""
    arguments = dtype.arguments if type(dtype) is Made else ()
    return arguments[0] if type(arguments) is tuple and arguments and type(arguments[0]) is str else ""


def _shape(array: Made) -> list[tuple[str, Any]]:
    """How large an array of numpy is, and of what."""
    about = array.state if type(array.state) is tuple else array.arguments
    if type(about) is not tuple or len(about) < 3:
        return []
    dtype, shape = (about[2], about[1]) if about is array.state else (about[1], about[2])
    return [("shape", shape), ("dtype", _dtype(dtype))] if _dtype(dtype) else []


def _path(name: str, parts: tuple[Any, ...]) -> tuple[str, ...]:
    """A path as one text."""
    return (str((PureWindowsPath if "Windows" in name else PurePosixPath)(*parts)),) if parts else ()


def _numbers(name: str, arguments: tuple[Any, ...]) -> str:
    """What a date or an instant is made of, from its bytes in a pickle."""
    packed = arguments[0] if arguments and type(arguments[0]) is bytes else b""
    if name == "date" and len(packed) == DATE.size:
        return ", ".join(map(str, DATE.unpack(packed)))
    if name == "datetime" and len(packed) == DATETIME.size:
        return ", ".join(map(str, DATETIME.unpack(packed)[:6]))
    return ""


def function_name(value: Any, depth: int = 0) -> str:
    """What a function is called that travels as code; empty: it is none."""
    if depth > DEPTH:
        return ""
    if type(value) is Name:
        return value.label
    if type(value) is not Made or type(value.arguments) is not tuple:
        return ""
    if _is_method(value.what) and len(value.arguments) == 2:
        method = function_name(value.arguments[0], depth + 1).rpartition(".")[2]
        return f"{_class_name(value.arguments[1])}.{method}"
    if type(value.what) is not Name:
        return ""
    if value.what.label == "functools.partial" or value.what.name == "partial":
        inner = function_name(value.arguments[0], depth + 1) if value.arguments else ""
        return f"partial({inner})" if inner else ""
    if value.what == Name("builtins", "getattr") and len(value.arguments) == 2 and type(value.arguments[1]) is str:
        return f"{_class_name(value.arguments[0])}.{value.arguments[1]}"
    if value.what.name != "_make_function" or not value.arguments:
        return ""
    code = value.arguments[0]
    given = code.arguments if type(code) is Made and type(code.arguments) is tuple else ()
    texts = [one for one in given if type(one) is str]
    return texts[-1] if texts else "<function>"


def _class_name(value: Any) -> str:
    """Of an object that has a method."""
    if type(value) is Made:
        named = value.what
        if type(named) is Name and named in REBUILDS and type(value.arguments) is tuple and value.arguments:
            named = value.arguments[0]
        if type(named) is not Name:
            named = _travelling_class(named)
        return named.label if named is not None else "<object>"
    return value.label if type(value) is Name else type(value).__name__


def _travelling_class(value: Any) -> Name | None:
    """The name of a class that travels as code, as one of `__main__` does; None: it is none."""
    if type(value) is not Made or type(value.what) is not Name or value.what.name not in SKELETONS:
        return None
    given = value.arguments if type(value.arguments) is tuple else ()
    return Name("", given[1]) if len(given) > 1 and type(given[1]) is str else None


def _is_method(value: Any) -> bool:
    """Whether this makes a method of a function and an object, as cloudpickle has it."""
    return type(value) is Made and value.what == METHOD_MAKER and value.arguments == ("MethodType",)
