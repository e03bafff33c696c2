"""Random graphs of objects, shared, cyclic and mutable, and what a job sees of one."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies

Shape = Any


class Open:
    """An object with a __dict__."""

    def __init__(self, label: int) -> None:
        self.label = label


class Slotted:
    """An object with slots."""

    __slots__ = ("label", "one", "other")

    def __init__(self, label: int) -> None:
        self.label = label


ATOMS: tuple[Any, ...] = (0, 1, -7, 1 << 70, 0.5, "", "text", b"bytes", None, True)

MAKERS: dict[str, Callable[[int], Any]] = {
    "list": lambda _: [],
    "dict": lambda _: {},
    "set": lambda _: set(),
    "open": Open,
    "slots": Slotted,
    "bytearray": lambda label: bytearray(b"%d" % label),
    "tuple": lambda _: (),
    "atom": lambda label: ATOMS[label % len(ATOMS)],
}

Node = tuple[str, list[int]]
"""What kind it is, and to which nodes it points (a tuple to earlier ones only: it is complete when it is made)."""
NODES = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(sorted(MAKERS)), strategies.lists(strategies.integers(0, 20), max_size=4)
    ),
    min_size=1,
    max_size=12,
)
ITEMS = strategies.lists(strategies.integers(0, 20), min_size=1, max_size=25)
"""Which node each job is given."""


def build(nodes: Sequence[Node]) -> list[Any]:
    """The objects: one may be reached in many ways, also from itself."""
    made: list[Any] = []
    for label, (kind, targets) in enumerate(nodes):
        earlier = tuple(made[target % label] for target in targets) if label else ()
        made.append(earlier if kind == "tuple" else MAKERS[kind](label))
    for at, (_, targets) in enumerate(nodes):
        for place, target in enumerate(targets):
            _point(made[at], place, made[target % len(made)])
    return made


def _point(holder: Any, place: int, value: Any) -> None:
    match holder:
        case list():
            holder.append(value)
        case dict():
            holder[place] = value
        case set() if type(value) in (Open, Slotted, int, str):
            holder.add(value)
        case Open():
            setattr(holder, f"to{place}", value)
        case Slotted() if place < 2:
            setattr(holder, ("one", "other")[place], value)


def look(value: Any) -> Shape:
    """A job: what its argument is like, which of its parts are one object included; then it changes all of them."""
    found: dict[int, Any] = {}
    shape = _shape(value, found)
    for part in found.values():
        _spoil(part)
    return shape


def look_at_all(*args: Any, **kwargs: Any) -> Shape:
    """The same of many arguments."""
    return look([*args, kwargs])


def _shape(value: Any, found: dict[int, Any]) -> Shape:
    if isinstance(value, tuple):
        return ("tuple", *(_shape(one, found) for one in value))
    parts = _parts(value)
    if parts is None:
        return value
    if id(value) in found:
        return ("seen", list(found).index(id(value)))
    found[id(value)] = value
    return (type(value).__name__, *(_shape(one, found) for one in parts))


def _parts(value: Any) -> list[Any] | None:
    match value:
        case list():
            return value
        case dict():
            return [part for pair in value.items() for part in pair]
        case set():
            return sorted(value, key=_order)
        case bytearray():
            return list(value)
        case Open():
            return [part for pair in sorted(vars(value).items()) for part in pair]
        case Slotted():
            return [getattr(value, name, "unset") for name in Slotted.__slots__]
    return None


def _order(value: Any) -> tuple[str, str]:
    return type(value).__name__, str(getattr(value, "label", value))


def _spoil(value: Any) -> None:
    match value:
        case list() | bytearray():
            value.append(7)
        case dict():
            value["spoiled"] = True
        case set():
            value.add("spoiled")
        case Open() | Slotted():
            value.label = -1


def alone(items: Sequence[Any], job: Callable[[Any], Shape] = look) -> list[Shape]:
    """What the jobs see if each item has a pickle of its own."""
    return [job(pickle.loads(pickle.dumps(item))) for item in items]
