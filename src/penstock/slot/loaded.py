"""What a slot keeps of what it was sent: functions and arguments, decoded when they are first needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.job import payload
from penstock.job.bundle import LoadedFunction
from penstock.job.command import CommandTemplate
from penstock.slot.framing import Bytes
from penstock.slot.protocol import LoadChunk, LoadFunction


class Function:
    """A function as the slot keeps it: loaded when it is first run, of which `on_load` is told."""

    def __init__(self, message: LoadFunction, blob: Bytes, on_load: Callable[[bytes], None]) -> None:
        self._digest, self._on_load = message.function, on_load
        self.is_command: bool = message.kind == "command"
        self.prints = False
        self._blob: Bytes = blob
        self._serializer = message.serializer
        self._function: LoadedFunction | None = None
        self._template: CommandTemplate | None = None

    def load(self) -> LoadedFunction:
        """The function itself. Raises whatever importing it raises; Stale: not in this process."""
        if self._function is None:
            self._function = LoadedFunction(self._blob, self._serializer)
            self._blob = b""
            self._on_load(self._digest)
        return self._function

    def template(self) -> CommandTemplate:
        """The template of a batch of commands."""
        if self._template is None:
            self._template = CommandTemplate.decode(self._blob)
        return self._template


class Chunk:
    """The arguments of a lease as the slot keeps them: decoded when they are first run."""

    def __init__(self, message: LoadChunk, blob: Bytes) -> None:
        self.head = message
        self.form: str = "item"
        self._blob: Bytes | None = blob
        self._items: list[Any] = []

    def items(self, *, are_commands: bool) -> list[Any]:
        """The arguments, from index `head.first` on."""
        if self._blob is not None:
            if are_commands:
                self._items = payload.load_commands(self._blob)
            else:
                self.form, self._items = payload.load_chunk(self._blob, self.head.serializer)
            self._blob = None
        return self._items
