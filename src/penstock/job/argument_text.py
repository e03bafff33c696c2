"""What the jobs of a batch were given, read from its bytes without opening any pickle, as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from penstock.job import display, payload, unopened_pickle, value_text
from penstock.job.command import CommandTemplate
from penstock.job.spec import BatchSpec
from penstock.job.unopened_pickle import Made, Name, Pairs
from penstock.job.wrappers import Surroundings

UNREADABLE = "<arguments cannot be shown>"
NOT_KEPT = "<arguments no longer kept>"
WHOLE = 1 << 20
"""Characters that are shown of a job when all is asked for."""
CALLS = {"penstock.job.payload.call", "penstock.payload.call"}  # of this release, and of 0.2
"""The function of jobs that bring their own."""
RANGE = Name("builtins", "range")
Text = Callable[[int, int | None], str]
"""A job's text, by its index and, if it had one, the number of its slot from 1."""


class Work:
    """What the jobs of one batch have in common."""

    def __init__(self, spec: BatchSpec, function: bytes) -> None:
        """`function`: as it travels; empty: it is not known."""
        self._spec = spec
        self.template: CommandTemplate | None = None
        self.surroundings: Surroundings = Surroundings()
        self._label = spec.title
        if function and spec.kind == "command":
            self.template = _attempt(lambda: CommandTemplate.decode(function), None)
        elif function:
            label, self.surroundings = _attempt(lambda: _function(function, spec.serializer), ("", Surroundings()))
            self._label = self._label or label

    @property
    def label(self) -> str:
        """The function, or the command before anything is replaced."""
        return self._label or ("<command>" if self._spec.kind == "command" else "<function>")

    def without_arguments(self, why: str = NOT_KEPT) -> str:
        """A job of which no more is known than what it has in common with the others."""
        return f"{self.label} {why}" if self._spec.kind == "command" else f"{self.label}({why})"

    def reader(self, chunk: bytes, first: int, room: int, enough: int | None = None) -> Text:
        """Reads jobs from the chunk that begins with `first`, of which `enough` may be looked at."""
        text = _attempt(lambda: self._reader(chunk, first, room, enough), None)

        def read(index: int, slot: int | None) -> str:
            found = None if text is None else _attempt(lambda: text(index, slot), None)
            return self.without_arguments(UNREADABLE) if found is None else found

        return read

    def _reader(self, chunk: bytes, first: int, room: int, enough: int | None) -> Text:
        if self._spec.kind == "command":
            template = self.template
            if template is None:
                raise ValueError("no template")
            lines = payload.load_commands(chunk)
            return lambda index, slot: display.text_of(
                display.command_text(template, lines[index - first], index + 1, slot)
            )
        form, items = self._items(chunk, enough)
        return lambda index, _: self._call_text(form, items[index - first], room)

    def _items(self, chunk: bytes, enough: int | None) -> tuple[str, Sequence[Any]]:
        if self._spec.serializer == "msgpack":
            form, items = msgspec.msgpack.decode(chunk)
        else:
            form, items = unopened_pickle.read(chunk, enough)
        if type(items) is Made and items.what == RANGE and all(type(one) is int for one in items.arguments):
            items = range(*items.arguments)
        return form, items

    def _call_text(self, form: str, item: Any, room: int) -> str:
        if form.endswith("blob"):
            item = unopened_pickle.read(item) if self._spec.serializer == "pickle" else msgspec.msgpack.decode(item)
        keywords: Iterable[tuple[Any, Any]] = ()
        if form in {"item", "itemblob"}:
            arguments: Sequence[Any] = (item,)
        elif form in {"star", "starblob"}:
            arguments = item
        else:
            arguments, given = item
            keywords = given.pairs if type(given) is Pairs else given.items()
        label = self.label
        if label in CALLS and len(arguments):
            label, arguments = (
                value_text.function_name(arguments[0]) or value_text.value_text(arguments[0], room),
                arguments[1:],
            )
        return value_text.call_text(label, arguments, keywords, room)


def _function(blob: bytes, serializer: str) -> tuple[str, Surroundings]:
    """What a function is called (empty: that is not to be seen), and what is to be around it."""
    if serializer == "msgpack":
        named = msgspec.msgpack.decode(blob)
        if isinstance(named, str):
            return named.replace(":", "."), Surroundings()
        around = msgspec.convert(named.get("surroundings", {}), Surroundings)
        return str(named["function"]).replace(":", "."), around
    found = unopened_pickle.read(blob)
    surroundings = Surroundings()
    if type(found) is Made and found.what == Name("penstock.job.bundle", "unbundled"):
        bundle = msgspec.msgpack.decode(found.arguments[0])
        surroundings = msgspec.convert(bundle.get("surroundings", {}), Surroundings)
        found = unopened_pickle.read(bundle["code"])
    return value_text.function_name(found), surroundings


def _attempt(read: Callable[[], Any], otherwise: Any) -> Any:
    """What is read of the bytes of strangers, who may have made them with another release, or in order to do harm."""
    try:
        return read()
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, msgspec.MsgspecError):
        return otherwise
