"""What goes along of a script (``__main__``): the definitions of the names that its functions use, as they are now.

Promises:

1. A function, a class or a global travels as it is at the moment of submit; what cannot have changed since is not
   serialized again.
2. What a definition refers to by name comes before it; those that need each other are one definition.
3. What cannot travel is named, with the reason.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar
from dis import get_instructions
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from hashlib import blake2b
from types import CodeType, FunctionType, MemberDescriptorType
from typing import Any, NamedTuple

import cloudpickle
import msgspec

from penstock import script
from penstock.client.shipping import imports_of
from penstock.payload import PROTOCOL
from penstock.script import MAIN, SPAWNED, Definition, ScriptSource, Travelling
from penstock.stateless import ATOMS, LruCache, content_of, is_importable, is_in_script

DIGEST_BYTES = 16
GUARD = re.compile(r"^if\b.*\b__name__\b.*==.*__main__|^if\b.*__main__.*==.*\b__name__\b", re.MULTILINE)
"""Of a script that can be imported without running: where it begins to work, there is this guard."""
FRESH: dict[type, str] = {
    type(threading.Lock()): "lock",
    type(threading.RLock()): "rlock",
    threading.local: "local",
    weakref.WeakValueDictionary: "weak values",
    weakref.WeakKeyDictionary: "weak keys",
}
"""What cannot be pickled and need not be: what a script makes of these, empty, does as well."""
OWN_NAMES = frozenset({"__builtins__", "__name__", "__doc__", "__loader__", "__spec__", "__package__", "__file__"})
"""Globals that each module has of its own."""


class ScriptPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
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
        self._available = available
        self._main = vars(sys.modules[MAIN])
        self.globals_ref[id(self._main)] = script.Namespace()

    def reducer_override(self, value: Any) -> Any:
        """By name, by value, or as pickle does it."""
        kind = type(value)
        if (kind is FunctionType or kind is LruCache or isinstance(value, type)) and is_in_script(value):
            name = value.__qualname__.partition(".")[0]
            if value is not self._by_value and self._goes_by_name(name):
                self.needs.add(name)
                return NotImplemented
        return self._reduced(value, kind)

    def _goes_by_name(self, name: str) -> bool:
        return self._available is None or name in self._available

    def _reduced(self, value: Any, kind: type) -> Any:
        """By value, or as pickle does it."""
        if kind is FunctionType:
            self.imports |= imported_by(value.__code__)
            if value.__globals__ is self._main:
                return self._function(value)
        if kind is CodeType:
            return _code(value)
        return super().reducer_override(value)

    def _function(self, function: FunctionType) -> Any:
        """Its globals are the script's, where it is opened: they go along as definitions of their own."""
        reduced = self._dynamic_function_reduce(function)
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

    def _reduced(self, value: Any, kind: type) -> Any:
        if kind in FRESH:
            return script.fresh, (FRESH[kind],)
        if kind is LruCache:
            return script.rebuild_lru_cache, (value.__wrapped__, value.cache_parameters(), _attributes(value))
        if kind is ContextVar:
            return script.rebuild_context_variable, (value.name, _default_of(value))
        if kind is FunctionType and _is_singledispatch(value):
            return script.rebuild_singledispatch, (value.__wrapped__, dict(value.registry))
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


@functools.lru_cache(maxsize=1024)
def global_names(code: CodeType) -> tuple[str, ...]:
    """Names that the code, or code in it, may look up in the module's globals."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= dict.fromkeys(global_names(constant))
    return tuple(names)


def _is_singledispatch(value: FunctionType) -> bool:
    return value.__globals__ is vars(functools) and hasattr(value, "registry") and hasattr(value, "dispatch")


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
    state = {name: one for name, one in state.items() if not _is_made_again(one, value)}
    arguments = list(arguments)
    arguments[-2] = None  # a class is known by its name here
    if not issubclass(value, Enum):
        arguments[3] = {**arguments[3], "__qualname__": value.__qualname__, **_slots(value)}
        state.pop("__slots__", None)
    return script.rebuild_class, (make, *arguments), (state, slots), *rest


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
    return script.rebuild_from_bases, (value.__name__, value.__bases__, own)


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
            fields.append((one.name, one.type, script.Factory(one.default_factory)))
        else:
            fields.append((one.name, one.type))
    config = {name: getattr(value.__struct_config__, name) for name in STRUCT_OPTIONS}
    names = set(value.__struct_fields__) | STRUCT_OWN
    rest = {
        name: one for name, one in vars(value).items()
        if name not in names and not isinstance(one, MemberDescriptorType)
    }  # fmt: skip
    return script.rebuild_struct, (value.__name__, value.__bases__, fields, config, rest)


STRUCT_OPTIONS = ("frozen", "eq", "order", "array_like", "gc", "omit_defaults", "forbid_unknown_fields", "weakref",
                  "dict", "cache_hash", "tag", "tag_field", "repr_omit_defaults")  # fmt: skip
STRUCT_OWN = frozenset({
    "__annotations__", "__module__", "__qualname__", "__dict__", "__weakref__", "__slots__", "__match_args__",
    "__annotate_func__", "__annotate__", "__annotations_cache__", "__classdictcell__", "__static_attributes__",
    "__firstlineno__",
})  # fmt: skip
"""What each Struct has from its making."""


# ------------------------------------------------------------------------------------------------ what may change


class _Known(NamedTuple):
    """A definition of one name, with what it was made of."""

    value: object
    parts: tuple[Parts, ...] | None
    definition: Definition
    leads_to: frozenset[str]
    """Names that it needs, or uses when it runs."""
    needs: frozenset[str]
    imports: frozenset[str]
    files: frozenset[str]

    def is_as_it_was(self, value: object) -> bool:
        """Whether the name still stands for the same."""
        return self.value is value and is_as_it_was(self.parts)


class Parts(NamedTuple):
    """What a function or a class is made of, as it was."""

    of: Any
    read: Callable[[Any], list[object]]
    were: list[object]

    @property
    def are_as_they_were(self) -> bool:
        now = self.read(self.of)
        return len(now) == len(self.were) and all(map(_is, now, self.were))


def _is(one: object, other: object) -> bool:
    return one is other


def is_as_it_was(parts: tuple[Parts, ...] | None) -> bool:
    """Whether what was looked at is still the same; what cannot be known so may have changed."""
    return parts is not None and all(part.are_as_they_were for part in parts)


def parts_of(value: object) -> tuple[Parts, ...] | None:
    """What to look at to know whether a value is as it was; None: it can change while all of that stays."""
    found: dict[int, Parts] = {}
    pending = [value]
    while pending:
        one = pending.pop()
        kind = type(one)
        if id(one) in found or kind in ATOMS or is_importable(one):
            continue
        if kind is FunctionType:
            read: Callable[[Any], list[object]] = _function_parts
        elif isinstance(one, type) and one.__module__ == MAIN:
            read = _class_parts
        elif kind in WRAPPERS:
            read = WRAPPERS[kind]
        else:
            return None
        parts = found[id(one)] = Parts(one, read, read(one))
        pending += parts.were
    return tuple(found.values())


def _function_parts(function: FunctionType) -> list[object]:
    parts = [function.__code__, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    parts += [*vars(function).values(), *map(content_of, function.__closure__ or ())]
    known = function.__globals__
    if known is not vars(sys.modules[MAIN]):  # those of the script are definitions of their own
        parts += [known.get(name) for name in global_names(function.__code__)]
    return parts


def _class_parts(kind: type) -> list[object]:
    return [*kind.__bases__, *(one for name, one in vars(kind).items() if name not in CLASS_OWN)]


CLASS_OWN = frozenset({"__dict__", "__weakref__", "__annotations__", "__dataclass_fields__", "__dataclass_params__",
                       "__abstractmethods__", "_abc_impl", "__match_args__", "__slots__"})  # fmt: skip
"""Of a class, what is made of its statement and nobody changes."""
WRAPPERS: dict[type, Callable[[Any], list[object]]] = {
    staticmethod: lambda one: [one.__func__],
    classmethod: lambda one: [one.__func__],
    property: lambda one: [one.fget, one.fset, one.fdel],
    LruCache: lambda one: [one.__wrapped__],
    CodeType: lambda _: [],
    tuple: list,
    functools.cached_property: lambda one: [one.func],
    MemberDescriptorType: lambda _: [],
}
"""What consists of other things only."""


# ------------------------------------------------------------------------------------------------- definitions


class Script:
    """Makes definitions for one client."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._groups: dict[frozenset[str], tuple[tuple[_Known, ...], Definition]] = {}
        self._sets: dict[frozenset[str], tuple[dict[str, _Known], Travelling]] = {}

    def travelling(self, names: frozenset[str]) -> Travelling:
        """What goes along for these names: the same object as long as nothing changed. Raises PicklingError: one of
        them, or of those that they lead to, cannot travel."""
        made = self._sets.get(names)
        main = sys.modules[MAIN]
        if made is not None and all(one.is_as_it_was(getattr(main, name, self)) for name, one in made[0].items()):
            return made[1]
        try:
            closure = self._closure(names)
        except pickle.PicklingError as error:
            return self._as_source(error)
        if made is None or any(made[0].get(name) is not one for name, one in closure.items()):
            known = closure.values()
            imports = frozenset().union(*(one.imports for one in known))
            files = frozenset().union(*(one.files for one in known))
            made = self._sets[names] = closure, Travelling(tuple(self._ordered(closure)), None, imports, files)
        return made[1]

    def _as_source(self, error: pickle.PicklingError) -> Travelling:
        source = source_of_script()
        if source is None:
            raise pickle.PicklingError(
                f'{error}; put what runs in the script under `if __name__ == "__main__":`, and the workers import it '
                "instead"
            ) from error
        sys.modules.setdefault(SPAWNED, sys.modules[MAIN])  # what comes back is of that name, as with multiprocessing
        return Travelling((), source, frozenset(imports_of(source.text.encode())), frozenset())

    def _closure(self, names: Iterable[str]) -> dict[str, _Known]:
        closure: dict[str, _Known] = {}
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in closure and _is_defined(name):
                closure[name] = self._definition(name)
                pending += closure[name].leads_to
        return closure

    def _definition(self, name: str) -> _Known:
        value = getattr(sys.modules[MAIN], name)  # and not from its dictionary: a lazy import is resolved by this
        known = self._known.get(name)
        if known is not None and known.is_as_it_was(value):
            return known
        blob, pickler = _pickled({name: value})
        if known is not None and known.value is value and known.definition.blob == blob:
            return known
        definition = Definition((name,), _digest(blob), blob)
        needs = frozenset(pickler.needs)
        self._known[name] = known = _Known(
            value, parts_of(value), definition, needs | pickler.uses, needs, frozenset(pickler.imports),
            frozenset(pickler.files),
        )  # fmt: skip
        return known

    def _ordered(self, closure: dict[str, _Known]) -> list[Definition]:
        groups = {name: frozenset({name}) for name in closure}
        while True:
            graph: dict[frozenset[str], set[frozenset[str]]] = {group: set() for group in groups.values()}
            for name, known in closure.items():
                graph[groups[name]] |= {groups[need] for need in known.needs if need in groups} - {groups[name]}
            try:
                order = list(TopologicalSorter(graph).static_order())
            except CycleError as error:
                joined = frozenset().union(*error.args[1])
                groups.update(dict.fromkeys(joined, joined))
                continue
            return [self._group(group, closure) for group in order]

    def _group(self, names: frozenset[str], closure: dict[str, _Known]) -> Definition:
        members = tuple(closure[name] for name in sorted(names))
        if len(members) == 1:
            return members[0].definition
        known = self._groups.get(names)
        if known is None or any(one is not other for one, other in zip(known[0], members, strict=True)):
            blob, _ = _pickled({name: closure[name].value for name in sorted(names)})
            known = self._groups[names] = members, Definition(tuple(sorted(names)), _digest(blob), blob)
        return known[1]


def _is_defined(name: str) -> bool:
    return name not in OWN_NAMES and name in vars(sys.modules[MAIN])


def _pickled(values: dict[str, object]) -> tuple[bytes, DefinitionPickler]:
    file = io.BytesIO()
    pickler = DefinitionPickler(file, values)
    try:
        pickler.dump(values)
    except Exception as error:
        names = " and ".join(map(repr, values))
        kind = type(next(iter(values.values()))).__name__
        raise pickle.PicklingError(f"{names} of the script ({kind}) cannot be sent: {error}") from error
    return file.getvalue(), pickler


def _digest(blob: bytes) -> bytes:
    return blake2b(blob, digest_size=DIGEST_BYTES).digest()


def source_of_script() -> ScriptSource | None:
    """The script, to be run as a module; None: there is no file of it, or running it would start its work again."""
    main = sys.modules[MAIN]
    path = getattr(main, "__file__", None)
    if not isinstance(path, str) or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        text = file.read()
    package = getattr(main, "__package__", None) or ""
    return ScriptSource(os.path.abspath(path), package, text) if GUARD.search(text) else None
