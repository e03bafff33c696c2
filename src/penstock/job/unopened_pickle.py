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
from dataclasses import dataclass, field
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


@dataclass(slots=True, eq=False)
class Pairs:
    """A dict: its keys could not be hashed without running code of theirs."""

    pairs: list[tuple[Any, Any]]


@dataclass(slots=True, eq=False)
class Members:
    """A set or frozenset, for the same reason."""

    kind: str
    items: list[Any]


@dataclass(slots=True, eq=False)
class Made:
    """What would come of calling something: an object, and what would be put into it if it is a list or a dict."""

    what: Any
    arguments: Any
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)


MARK = object()


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
    """The stack and the memo of a pickle machine that makes nothing. What an opcode does is the method of its name."""

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
        elif name not in IGNORED:
            getattr(self, f"load_{name.lower()}")(argument)
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

    def load_pop(self, _: Any) -> None:
        self._stack.pop()

    def load_pop_mark(self, _: Any) -> None:
        self._pop_mark()

    def load_dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def load_append(self, _: Any) -> None:
        item = self._stack.pop()
        self._extend([item])

    def load_appends(self, _: Any) -> None:
        self._extend(self._pop_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is Made:
            target.items.extend(items)

    def load_list(self, _: Any) -> None:
        self._stack.append(self._pop_mark())

    def load_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_mark()))

    def load_tuple1(self, _: Any) -> None:
        self._stack.append(tuple(self._pop(1)))

    def load_tuple2(self, _: Any) -> None:
        self._stack.append(tuple(self._pop(2)))

    def load_tuple3(self, _: Any) -> None:
        self._stack.append(tuple(self._pop(3)))

    def load_dict(self, _: Any) -> None:
        items = self._pop_mark()
        self._stack.append(Pairs(list(zip(items[::2], items[1::2], strict=True))))

    def load_setitem(self, _: Any) -> None:
        self._set_items(self._pop(2))

    def load_setitems(self, _: Any) -> None:
        self._set_items(self._pop_mark())

    def _set_items(self, items: list[Any]) -> None:
        if type(self._stack[-1]) in {Pairs, Made}:
            self._stack[-1].pairs.extend(zip(items[::2], items[1::2], strict=True))

    def load_additems(self, _: Any) -> None:
        items = self._pop_mark()
        if type(self._stack[-1]) is Members:
            self._stack[-1].items.extend(items)

    def load_frozenset(self, _: Any) -> None:
        self._stack.append(Members("frozenset", self._pop_mark()))

    def load_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(Name(today(module), name))

    def load_stack_global(self, _: Any) -> None:
        module, name = self._pop(2)
        if type(module) is not str or type(name) is not str:
            raise ValueError("a name is no text")
        self._stack.append(Name(today(module), name))

    def load_ext1(self, code: int) -> None:
        self._stack.append(Name("", f"<extension {code}>"))

    load_ext2 = load_ext4 = load_ext1

    def load_reduce(self, _: Any) -> None:
        self._stack.append(Made(*self._pop(2)))

    load_newobj = load_reduce

    def load_newobj_ex(self, _: Any) -> None:
        kind, arguments, _keywords = self._pop(3)
        self._stack.append(Made(kind, arguments))

    def load_inst(self, argument: str) -> None:
        arguments = tuple(self._pop_mark())
        module, _, name = argument.partition(" ")
        self._stack.append(Made(Name(today(module), name), arguments))

    def load_obj(self, _: Any) -> None:
        kind, *arguments = self._pop_mark()
        self._stack.append(Made(kind, tuple(arguments)))

    def load_build(self, _: Any) -> None:
        state = self._stack.pop()
        if type(self._stack[-1]) is Made:
            self._stack[-1].state = state

    def load_persid(self, _: Any) -> None:
        self._stack.append(Name("", "<persistent object>"))

    def load_binpersid(self, _: Any) -> None:
        self._stack[-1] = Name("", "<persistent object>")

    def load_next_buffer(self, _: Any) -> None:
        self._stack.append(Name("", "<buffer>"))


CONSTANTS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8",
})  # fmt: skip
FIXED: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": MARK}
MAKES: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": lambda: Pairs([]),
    "EMPTY_SET": lambda: Members("set", []),
}
REMEMBERS = frozenset({"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"})
RECALLS = frozenset({"GET", "BINGET", "LONG_BINGET"})
IGNORED = frozenset({"PROTO", "FRAME", "STOP", "READONLY_BUFFER"})
