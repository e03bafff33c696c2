"""How things of a script (``__main__``) are pickled: by name where the other side has them, else by value.

Promises:

1. What travels by value has the script's globals as its own where it is opened, and takes none of them along: they are
   definitions of their own (script_definitions.py).
2. Pickling notes which names, modules and sources are needed.
"""

from __future__ import annotations

import builtins
import functools
import io
import sys
import typing
from collections.abc import Iterable
from contextvars import Context, ContextVar
from dis import get_instructions
from enum import Enum
from types import CodeType, FunctionType, MemberDescriptorType
from typing import Any, ForwardRef

import cloudpickle
import msgspec

from penstock.job import main_module
from penstock.job.main_module import MAIN
from penstock.job.payload import PROTOCOL
from penstock.job.pickle_by_value import ValuePickler
from penstock.job.stateless import LruCache, is_generic, is_in_script

FRESH: dict[type, str] = {type(make()): kind for kind, make in main_module.FRESH.items()}
"""What cannot be pickled and need not be: what a script makes of these, empty, does as well."""


TYPE_NAMES: dict[type, tuple[str, ...]] = {
    kind: content
    for kind, content in (
        (typing.ParamSpec, ()),
        (typing.TypeVarTuple, ()),
        (typing.NewType, ("__supertype__",)),
        (getattr(typing, "TypeAliasType", None), ("__value__",)),
        (getattr(builtins, "sentinel", None), ()),
    )
    if kind is not None
}
"""What a script names for annotations, and what it is made of, beside its name: pickle knows it by that only."""
FUNCTIONS = frozenset({FunctionType, LruCache, CodeType, ForwardRef})
"""What is looked at, beside classes."""


class ScriptPickler(ValuePickler):
    """Pickles things of the script by name, and notes which names; what has none there travels by value, with the
    script's globals as its own."""

    def __init__(self, file: io.BytesIO, available: frozenset[str] | None = None, by_value: object = None) -> None:
        """`available`: the names that the other side will have; None: whatever is noted. `by_value`: a function that
        travels by value, whatever its name."""
        super().__init__(file, PROTOCOL)
        self.needs: set[str] = set()
        """Names that have to be there before this can be opened."""
        self.uses: set[str] = set()
        """Names that functions in it look up when they run."""
        self.imports: set[str] = set()
        """Modules that functions in it import when they run."""
        self.files: set[str] = set()
        """Where the source of functions in it is."""
        self._by_value = by_value
        self._by_name: dict[int, object] = {}
        """Objects that are known to be pickled by name."""
        self._available = available
        self._main = vars(sys.modules[MAIN])
        self.globals_ref[id(self._main)] = main_module.Namespace()

    def reducer_override(self, value: Any) -> Any:
        """By name, by value, or as pickle does it."""
        kind = type(value)
        if kind not in FUNCTIONS and not isinstance(value, type):
            return self._other(value, kind)
        if id(value) in self._by_name:
            return NotImplemented
        if is_in_script(value):
            name = value.__qualname__.partition(".")[0]
            if value is not self._by_value and self._goes_by_name(name):
                self.needs.add(name)
                self._by_name[id(value)] = value
                return NotImplemented
        return self._reduced(value, kind)

    def _other(self, value: Any, kind: type) -> Any:
        """What is no class and no function."""
        if kind in TYPE_NAMES and value.__module__ == MAIN:
            self.needs.add(value.__name__)  # pickle writes its name, and nothing else
        return NotImplemented

    def _goes_by_name(self, name: str) -> bool:
        return self._available is None or name in self._available

    def _reduced(self, value: Any, kind: type) -> Any:
        """By value, or as pickle does it."""
        return _code(value) if kind is CodeType else super().reducer_override(value)

    def _dynamic_function_reduce(self, function: FunctionType) -> Any:
        """A function by value. Those of the script have its globals, where they are opened: these are sent along as
        definitions of their own."""
        reduced = super()._dynamic_function_reduce(function)
        self.imports |= imported_by(function.__code__)
        if function.__globals__ is self._main:
            self.files.add(function.__code__.co_filename)
            slots = reduced[2][1]
            self.uses |= slots["__globals__"].keys()
            slots["__globals__"] = {}
        return reduced


class DefinitionPickler(ScriptPickler):
    """Pickles some names by value, with what belongs to them."""

    def __init__(self, file: io.BytesIO, names: Iterable[str]) -> None:
        super().__init__(file)
        self._names = frozenset(names)

    def _goes_by_name(self, name: str) -> bool:
        return name not in self._names

    def _other(self, value: Any, kind: type) -> Any:
        if kind in FRESH:
            return main_module.fresh, (FRESH[kind],)
        if kind is ContextVar:
            return main_module.rebuild_context_variable, (value.name, _default_of(value))
        if kind in TYPE_NAMES and value.__module__ == MAIN and value.__name__ in self._names:
            content = tuple(getattr(value, name) for name in TYPE_NAMES[kind])
            return main_module.rebuild_type_name, (kind, value.__name__, *content)
        return super()._other(value, kind)

    def _reduced(self, value: Any, kind: type) -> Any:
        if kind is LruCache:
            return main_module.rebuild_lru_cache, (value.__wrapped__, value.cache_parameters(), _attributes(value))
        if is_generic(value):
            return main_module.rebuild_singledispatch, (value.__wrapped__, dict(value.registry))
        if isinstance(value, type) and value.__module__ == MAIN:
            return _class(value, super()._reduced(value, kind))
        return super()._reduced(value, kind)


def _code(code: CodeType) -> Any:
    """As cloudpickle has it, with the name of its file: a traceback shows the line."""
    make, arguments = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return make, tuple(code.co_filename if one == "<dynamic-code>" else one for one in arguments)


@functools.lru_cache(maxsize=1024)
def imported_by(code: CodeType) -> frozenset[str]:
    """The modules that the code, or code in it, imports when it runs."""
    found = {str(one.argval) for one in get_instructions(code) if one.opname == "IMPORT_NAME"}
    return frozenset(found).union(*(imported_by(one) for one in code.co_consts if isinstance(one, CodeType)))


def _attributes(value: Any) -> dict[str, Any]:
    return {name: one for name, one in vars(value).items() if name not in ("cache_parameters", "__wrapped__")}


def _default_of(variable: ContextVar[Any]) -> tuple[Any, ...]:
    try:
        return (Context().run(variable.get),)
    except LookupError:
        return ()


def _class(value: Any, reduced: Any) -> Any:
    """A class as cloudpickle has it, with its slots, and without what ties it to others of its kind in a process."""
    if issubclass(value, msgspec.Struct):
        return _struct(value)
    if type(value).__module__ == "_ctypes":
        return _ctypes_class(value)
    make, arguments, (state, slots), *rest = reduced
    state = {name: one for name, one in state.items() if name != "__slotnames__" and not _is_made_again(one, value)}
    arguments = list(arguments)
    arguments[-2] = None  # a class is known by its name here
    if not issubclass(value, Enum):
        arguments[3] = {**arguments[3], "__qualname__": value.__qualname__, **_slots(value)}
        state.pop("__slots__", None)
    return main_module.rebuild_class, (make, *arguments), (state, slots), *rest


def _slots(value: Any) -> dict[str, Any]:
    """Of a class that has some; those of a named tuple are its own affair."""
    if "__slots__" not in vars(value) or hasattr(value, "_fields"):
        return {}
    return {"__slots__": value.__slots__ if isinstance(value.__slots__, str) else tuple(value.__slots__)}


def _is_made_again(attribute: object, of: type) -> bool:
    """Whether the class makes it by itself: the descriptors of its slots."""
    return isinstance(attribute, MemberDescriptorType) and attribute.__objclass__ is of


def _ctypes_class(value: Any) -> Any:
    """A class of ctypes makes its fields when it is made."""
    own = {name: one for name, one in vars(value).items() if name not in CTYPES_OWN and type(one).__name__ != "CField"}
    return main_module.rebuild_from_bases, (value.__name__, value.__bases__, own)


CTYPES_OWN = frozenset({"__dict__", "__weakref__"})
"""What each class of ctypes has from its making."""


def _struct(value: type[msgspec.Struct]) -> Any:
    fields: list[tuple[Any, ...]] = []
    own = vars(value).get("__annotations__", {}) or getattr(value, "__annotations__", {})
    for one in msgspec.structs.fields(value):
        if one.name not in own:
            continue
        if one.default is not msgspec.NODEFAULT:
            fields.append((one.name, one.type, one.default))
        elif one.default_factory is not msgspec.NODEFAULT:
            fields.append((one.name, one.type, main_module.Factory(one.default_factory)))
        else:
            fields.append((one.name, one.type))
    config = {name: getattr(value.__struct_config__, name) for name in STRUCT_OPTIONS}
    names = set(value.__struct_fields__) | STRUCT_OWN
    rest = {
        name: one for name, one in vars(value).items()
        if name not in names and not isinstance(one, MemberDescriptorType)
    }  # fmt: skip
    return main_module.rebuild_struct, (value.__name__, value.__bases__, fields, config, rest)


STRUCT_OPTIONS = ("frozen", "eq", "order", "array_like", "gc", "omit_defaults", "forbid_unknown_fields", "weakref",
                  "dict", "cache_hash", "tag", "tag_field", "repr_omit_defaults")  # fmt: skip
STRUCT_OWN = frozenset({
    "__annotations__", "__module__", "__qualname__", "__dict__", "__weakref__", "__slots__", "__match_args__",
    "__annotate_func__", "__annotate__", "__annotations_cache__", "__classdictcell__", "__static_attributes__",
    "__firstlineno__",
})  # fmt: skip
"""What each Struct has from its making."""
