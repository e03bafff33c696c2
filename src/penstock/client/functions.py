"""Functions as they travel: serialized once where nothing can have changed since, else at each use."""

from __future__ import annotations

import functools
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from penstock import payload
from penstock.client.shipping import BY_VALUE, Shipper
from penstock.client.versions import Versions
from penstock.messages import MAX_FRAME_BYTES
from penstock.prepared import Prepared
from penstock.shipped import entered

DIGEST_BYTES = 16
CACHED = 256
"""Functions whose serialized form is kept."""
CACHED_BYTES = 64 << 10
"""A larger one is serialized at each use: that costs little beside sending it, and keeping it costs memory."""
MAX_PART_BYTES = MAX_FRAME_BYTES - (1 << 20)
"""A function or an argument can be this large: on the way to a worker it has to fit into a frame with others."""
ATOMS = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis))
"""Of these, identity is equality for ever."""
MISSING = object()

Bytes = bytes | memoryview


class Function(NamedTuple):
    """A serialized function and its name on the wire. `bare` is its form without what goes along, `call` the digest of
    that: by it a call is known again when only the code that went along has changed, or it is prepared anew."""

    code: bytes
    digest: bytes
    bare: bytes
    call: bytes
    is_code: bool
    """Whether it only runs where Python has the same minor version."""

    @classmethod
    def of(cls, code: bytes, bare: bytes | None = None) -> Function:
        """Of its serialized form."""
        digest = _digest(code)
        bare = code if bare is None else bare
        return cls(code, digest, bare, digest if bare is code else _digest(bare), BY_VALUE in bare)


def _digest(code: bytes) -> bytes:
    return blake2b(code, digest_size=DIGEST_BYTES).digest()


class _Part(NamedTuple):
    """All that a plain function's serialized form is made of, as it was."""

    function: Any  # a FunctionType would be taken for a method
    code: CodeType
    defaults: tuple[Any, ...] | None
    global_values: tuple[tuple[str, object], ...]
    cell_values: tuple[tuple[CellType, object], ...]

    @property
    def is_as_it_was(self) -> bool:
        """Whether the function is still made of the same objects."""
        function, known = self.function, self.function.__globals__
        if function.__code__ is not self.code or function.__defaults__ is not self.defaults:
            return False
        if function.__kwdefaults__ or function.__dict__:
            return False
        for name, value in self.global_values:
            if known.get(name, MISSING) is not value:
                return False
        return all(_content(cell) is value for cell, value in self.cell_values)

    @property
    def values(self) -> list[object]:
        """What it is made of, beside code."""
        named = (*self.global_values, *self.cell_values)
        return [*(self.defaults or ()), *(value for _, value in named)]


class _Entry(NamedTuple):
    target: Callable[..., Any]
    parts: list[_Part]
    function: Function


class Functions:
    """Serializes functions, and remembers those that cannot have changed since. With a `shipper` they have what they
    need go along; `versions` looks who cannot run code."""

    def __init__(self, shipper: Shipper | None = None, versions: Versions | None = None) -> None:
        self._versions = versions
        self._entries: OrderedDict[tuple[int, str], _Entry] = OrderedDict()
        self._shipper = shipper
        self._with_items: OrderedDict[tuple[bytes, frozenset[str]], Function] = OrderedDict()

    @classmethod
    def here(cls) -> Functions:
        """For workers that import what this process does; only what came along to this slot has to go along again."""
        return cls(None if entered() is None else Shipper())

    @classmethod
    def elsewhere(cls, versions: Versions, *, ship: bool) -> Functions:
        """For workers that may not have what is here; with `ship` the user's modules go along."""
        return cls(Shipper(ships=ship), versions)

    def serialized(self, target: Callable[..., Any], serializer: str) -> Function:
        """The function as it travels now. Raises pickle.PicklingError; TypeError: it is not callable; ValueError: it,
        or what goes along, is too large."""
        key = (id(target), serializer)
        entry = self._entries.get(key)
        if entry is not None and all(part.is_as_it_was for part in entry.parts):
            return self._looked_at(entry.function)
        if not callable(target):
            raise TypeError(f"{target!r} is not callable")
        bare = payload.function_blob(target, serializer)
        function = self._along(bare, b"") if serializer == "pickle" else Function.of(bare)
        if isinstance(target, Prepared):
            function = function._replace(call=_digest(payload.function_blob(target.bare, serializer)))
        if len(function.code) > MAX_PART_BYTES:
            raise ValueError(f"the function: {too_large(function.code)}")
        parts = _parts_of(target)
        if parts is not None and len(bare) <= CACHED_BYTES:
            self._entries[key] = _Entry(target, parts, function)
            if len(self._entries) > CACHED:
                self._entries.popitem(last=False)
        return self._looked_at(function)

    def _looked_at(self, function: Function) -> Function:
        if self._versions is not None and function.is_code:
            self._versions.look()
        return function

    def with_items(self, function: Function, items: Bytes, serializer: str) -> Function:
        """The function, with the modules of these pickled arguments too."""
        if self._shipper is None or serializer != "pickle" or not (names := self._shipper.names_in(items)):
            return function
        key = (function.digest, names)
        if key not in self._with_items:
            self._with_items[key] = self._along(function.bare, items)._replace(call=function.call)
            if len(self._with_items) > CACHED:
                self._with_items.popitem(last=False)
        return self._with_items[key]

    def _along(self, bare: bytes, items: Bytes) -> Function:
        if self._shipper is None:
            return Function.of(bare)
        names = self._shipper.names_in(bare) | self._shipper.names_in(items)
        along = self._shipper.along(bare, names)
        return Function.of(bare) if along is None else Function.of(pickle.dumps(along, payload.PROTOCOL), bare)


def _is_importable(value: Any) -> bool:
    """Whether it travels as a name: then its serialized form never changes."""
    if isinstance(value, ModuleType):
        return True
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(value, FunctionType | BuiltinFunctionType | type) or module in (None, "__main__"):
        return False
    found: Any = sys.modules.get(str(module))
    for part in str(name).split("."):
        found = getattr(found, part, None)
    return found is value


def _parts_of(target: object) -> list[_Part] | None:
    """The plain function and those it refers to; None: something in them can change while it is the same object."""
    parts: dict[int, _Part] = {}
    pending = [target]
    while pending:
        value = pending.pop()
        if type(value) is FunctionType and not _is_importable(value):
            if value.__kwdefaults__ or value.__dict__:
                return None
            if id(value) not in parts:
                part = parts[id(value)] = _part_of(value)
                pending += part.values
        elif value is not MISSING and not isinstance(value, ATOMS) and not _is_importable(value):
            return None
    return list(parts.values())


def _part_of(function: FunctionType) -> _Part:
    code = function.__code__
    global_values = tuple((name, function.__globals__.get(name, MISSING)) for name in _global_names(code))
    cells = tuple((cell, _content(cell)) for cell in function.__closure__ or ())
    return _Part(function, code, function.__defaults__, global_values, cells)


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


@functools.lru_cache(maxsize=CACHED)
def _global_names(code: CodeType) -> tuple[str, ...]:
    """Names that the code, or code in it, may look up in the module's globals."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= dict.fromkeys(_global_names(constant))
    return tuple(names)


def too_large(data: bytes) -> str:
    """What is wrong with more than MAX_PART_BYTES."""
    most = MAX_PART_BYTES >> 20
    return f"{len(data) >> 20} MB when serialized, at most {most} MB can be sent: pass a path or an address instead"
