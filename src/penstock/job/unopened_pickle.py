"""Pickles of strangers, read without opening them: what a job was given is shown to people who did not submit it.

Promises:

1. Nothing that a pickle names is imported, called, hashed or compared: it is read opcode by opcode into plain values
   and inert descriptions of the rest.
2. Whatever the bytes are, reading them takes time and memory in proportion to their length; what is no pickle is a
   ValueError, and nothing else is raised.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

from penstock.former_names import today

Bytes = bytes | bytearray | memoryview


class Name(NamedTuple):
    """Something that is known by its name in a module."""

    module: str
    name: str

    @property
    def label(self) -> str:
        """What people call it."""
        plain = self.module in {"", "__main__", "builtins", "__builtin__"}
        return self.name if plain else f"{self.module}.{self.name}"


class Pairs:
    """A dict: its keys could not be hashed without running code of theirs."""

    __slots__ = ("pairs",)

    def __init__(self) -> None:
        self.pairs: list[tuple[Any, Any]] = []


class Members:
    """A set or frozenset, for the same reason."""

    __slots__ = ("items", "kind")

    def __init__(self, kind: str, items: list[Any]) -> None:
        self.kind: str = kind
        self.items: list[Any] = items


class Made:
    """What would come of calling something: an object, and what would be put into it if it is a list or a dict."""

    __slots__ = ("arguments", "items", "pairs", "state", "what")

    def __init__(self, what: Any, arguments: Any) -> None:
        self.what: Any = what
        self.arguments: Any = arguments
        self.state: Any = None
        self.items: list[Any] = []
        self.pairs: list[tuple[Any, Any]] = []


class _Mark:
    __slots__ = ()


MARK = _Mark()


def read(data: Bytes, enough: int | None = None) -> Any:
    """What a pickle says. With `enough`: of a tuple that ends with a list, reading may stop when the list has so many
    items. ValueError: it is no pickle, or it is cut short."""
    reader = _Reader(enough)
    try:
        for opcode, argument, _ in pickletools.genops(bytes(data)):
            if reader.take(opcode.name, argument):
                break
        return reader.result()
    except Exception as error:  # noqa: BLE001 - whatever the bytes bring about here, they are not readable
        raise ValueError(f"not a readable pickle: {error}") from None


class _Reader:
    """The stack and the memo of a pickle machine that makes nothing."""

    def __init__(self, enough: int | None) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._enough = enough
        self._list: list[Any] | None = None
        """The list of which `enough` items are."""

    def result(self) -> Any:
        """What is on the stack in the end; with a list of which enough was read, all that is below it too."""
        if self._list is not None and len(self._stack) > 1:
            return tuple(one for one in self._stack if one is not MARK)
        return self._stack[-1]

    def take(self, name: str, argument: Any) -> bool:
        """One opcode; whether that was enough."""
        if name in CONSTANTS:
            self._stack.append(argument)
        elif name in FIXED:
            self._stack.append(FIXED[name])
        elif name in MAKES:
            self._stack.append(MAKES[name]())
            if name == "EMPTY_LIST" and self._list is None and self._enough is not None and len(self._stack) == 2:
                self._list = self._stack[-1]
        elif name in REMEMBERS:
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = self._stack[-1]
        elif name in RECALLS:
            self._stack.append(self._memo[argument])
        elif name in STEPS:
            STEPS[name](self, argument)
        elif name not in IGNORED:
            raise ValueError(name)
        grew = self._list is not None and name in {"APPEND", "APPENDS"} and self._stack[-1] is self._list
        return grew and self._enough is not None and len(self._stack[-1]) >= self._enough

    def _pop_mark(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        items = self._stack[at + 1 :]
        del self._stack[at:]
        return items

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise ValueError("stack underflow")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def pop(self, _: Any) -> None:
        self._stack.pop()

    def pop_mark(self, _: Any) -> None:
        self._pop_mark()

    def dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def append(self, _: Any) -> None:
        item = self._stack.pop()
        self._extend([item])

    def appends(self, _: Any) -> None:
        self._extend(self._pop_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is Made:
            target.items.extend(items)

    def to_list(self, _: Any) -> None:
        self._stack.append(self._pop_mark())

    def to_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_mark()))

    def tuple_of(self, count: int) -> None:
        self._stack.append(tuple(self._pop(count)))

    def to_dict(self, _: Any) -> None:
        items = self._pop_mark()
        made = Pairs()
        made.pairs = list(zip(items[::2], items[1::2], strict=True))
        self._stack.append(made)

    def set_item(self, _: Any) -> None:
        self._set_items(self._pop(2))

    def set_items(self, _: Any) -> None:
        self._set_items(self._pop_mark())

    def _set_items(self, items: list[Any]) -> None:
        if type(self._stack[-1]) in {Pairs, Made}:
            self._stack[-1].pairs.extend(zip(items[::2], items[1::2], strict=True))

    def add_items(self, _: Any) -> None:
        items = self._pop_mark()
        if type(self._stack[-1]) is Members:
            self._stack[-1].items.extend(items)

    def to_frozenset(self, _: Any) -> None:
        self._stack.append(Members("frozenset", self._pop_mark()))

    def named(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(Name(today(module), name))

    def stack_named(self, _: Any) -> None:
        module, name = self._pop(2)
        if type(module) is not str or type(name) is not str:
            raise ValueError("a name is no text")
        self._stack.append(Name(today(module), name))

    def extension(self, code: int) -> None:
        self._stack.append(Name("", f"<extension {code}>"))

    def reduce(self, _: Any) -> None:
        self._stack.append(Made(*self._pop(2)))

    def new_with_keywords(self, _: Any) -> None:
        kind, arguments, _keywords = self._pop(3)
        self._stack.append(Made(kind, arguments))

    def instance(self, argument: str) -> None:
        arguments = tuple(self._pop_mark())
        module, _, name = argument.partition(" ")
        self._stack.append(Made(Name(today(module), name), arguments))

    def object_of(self, _: Any) -> None:
        kind, *arguments = self._pop_mark()
        self._stack.append(Made(kind, tuple(arguments)))

    def build(self, _: Any) -> None:
        state = self._stack.pop()
        if type(self._stack[-1]) is Made:
            self._stack[-1].state = state

    def persistent(self, _: Any) -> None:
        self._stack.append(Name("", "<persistent object>"))

    def persistent_of(self, _: Any) -> None:
        self._stack[-1] = Name("", "<persistent object>")

    def buffer(self, _: Any) -> None:
        self._stack.append(Name("", "<buffer>"))


CONSTANTS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8",
})  # fmt: skip
FIXED: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": MARK}
MAKES: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": Pairs,
    "EMPTY_SET": lambda: Members("set", []),
}
REMEMBERS = frozenset({"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"})
RECALLS = frozenset({"GET", "BINGET", "LONG_BINGET"})
IGNORED = frozenset({"PROTO", "FRAME", "STOP", "READONLY_BUFFER"})
STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    "POP": _Reader.pop,
    "POP_MARK": _Reader.pop_mark,
    "DUP": _Reader.dup,
    "APPEND": _Reader.append,
    "APPENDS": _Reader.appends,
    "LIST": _Reader.to_list,
    "TUPLE": _Reader.to_tuple,
    "TUPLE1": lambda reader, _: reader.tuple_of(1),
    "TUPLE2": lambda reader, _: reader.tuple_of(2),
    "TUPLE3": lambda reader, _: reader.tuple_of(3),
    "DICT": _Reader.to_dict,
    "SETITEM": _Reader.set_item,
    "SETITEMS": _Reader.set_items,
    "ADDITEMS": _Reader.add_items,
    "FROZENSET": _Reader.to_frozenset,
    "GLOBAL": _Reader.named,
    "STACK_GLOBAL": _Reader.stack_named,
    "EXT1": _Reader.extension,
    "EXT2": _Reader.extension,
    "EXT4": _Reader.extension,
    "REDUCE": _Reader.reduce,
    "NEWOBJ": _Reader.reduce,
    "NEWOBJ_EX": _Reader.new_with_keywords,
    "INST": _Reader.instance,
    "OBJ": _Reader.object_of,
    "BUILD": _Reader.build,
    "PERSID": _Reader.persistent,
    "BINPERSID": _Reader.persistent_of,
    "NEXT_BUFFER": _Reader.buffer,
}
