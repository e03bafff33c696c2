"""What of a script (``__main__``) is sent along: the definitions of the names that its functions use, as they are now.

Promises:

1. A function, a class or a global travels as it is at the moment of submit; what cannot have changed since is not
   serialized again.
2. What a definition refers to by name comes before it; those that need each other are one definition.
3. What cannot travel is named, with the reason.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from hashlib import blake2b
from typing import NamedTuple

from penstock.client.function_parts import Parts, is_as_it_was, parts_of
from penstock.client.module_shipping import Shipper
from penstock.client.own_modules import imports_of
from penstock.client.script_pickling import DefinitionPickler
from penstock.job.main_module import MAIN, SPAWNED, Definition, ScriptSource, Travelling

DIGEST_BYTES = 16
GUARD = re.compile(r"^if\b.*\b__name__\b.*==.*__main__|^if\b.*__main__.*==.*\b__name__\b", re.MULTILINE)
"""Of a script that can be imported without running: where it begins to work, there is this guard."""
KEPT_BYTES = 1 << 20
"""What is larger is serialized at each use: that costs little beside sending it, and keeping it costs memory."""
OWN_NAMES = frozenset({"__builtins__", "__name__", "__doc__", "__loader__", "__spec__", "__package__", "__file__"})
"""Globals that each module has of its own."""


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


class Script:
    """Makes definitions for one client; its `shipper` knows which modules are its user's own."""

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper
        self._known: dict[str, _Known] = {}
        self._groups: dict[frozenset[str], tuple[tuple[_Known, ...], Definition]] = {}
        self._sets: dict[frozenset[str], tuple[dict[str, _Known], Travelling]] = {}

    def travelling(self, names: frozenset[str]) -> Travelling:
        """What is sent along for these names: the same object as long as nothing changed. Raises PicklingError: one of
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
            modules = self._shipper.own(frozenset().union(*(one.imports for one in known)))
            modules = modules.union(*(self._shipper.names_in(one.definition.blob) for one in known))
            files = frozenset().union(*(one.files for one in known))
            path = getattr(main, "__file__", None)
            path = os.path.abspath(path) if isinstance(path, str) else ""
            made = closure, Travelling(tuple(self._ordered(closure)), None, modules, files, path)
            if sum(len(one.blob) for one in made[1].definitions) <= KEPT_BYTES:
                self._sets[names] = made
        return made[1]

    def _as_source(self, error: pickle.PicklingError) -> Travelling:
        source = source_of_script()
        if source is None:
            raise error
        if not GUARD.search(source.text):
            raise pickle.PicklingError(
                f'{error}; put what runs in {source.path} under `if __name__ == "__main__":`, and workers import it'
            ) from error
        sys.modules.setdefault(SPAWNED, sys.modules[MAIN])  # what comes back is of that name, as with multiprocessing
        imports = {*imports_of(source.text.encode()), source.package.partition(".")[0]} - {""}
        return Travelling((), source, self._shipper.own(imports))

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
        known = _Known(
            value, parts_of(value), definition, needs | pickler.uses, needs, frozenset(pickler.imports),
            frozenset(pickler.files),
        )  # fmt: skip
        if len(blob) <= KEPT_BYTES:
            self._known[name] = known
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
    """The script, to be run as a module; None: there is no file of it."""
    main = sys.modules[MAIN]
    path = getattr(main, "__file__", None)
    if not isinstance(path, str) or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        text = file.read()
    package = getattr(main, "__package__", None) or ""
    return ScriptSource(os.path.abspath(path), package, text)
