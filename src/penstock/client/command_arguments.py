"""Commands as users write them, and as they travel."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from penstock.client.options import argument_bytes, environment_bytes
from penstock.job.command import REPLACEMENT, CommandTemplate

Command = Sequence[str | bytes | os.PathLike[str]]


def template_of(target: Command | CommandTemplate, options: dict[str, Any]) -> tuple[CommandTemplate, dict[str, Any]]:
    """The command template, and the options that are not its own."""
    if isinstance(target, CommandTemplate):
        return target, options
    options = dict(options)
    cwd = options.pop("cwd", None)
    env = environment_bytes(options.pop("env", None))
    folder = _here() if cwd is None else os.path.abspath(argument_bytes(cwd))
    return CommandTemplate(words=tuple(words_of(target)), cwd=folder, env=env), options


def _here() -> bytes:
    try:
        return os.getcwdb()
    except FileNotFoundError:
        raise FileNotFoundError("this process' working folder is gone: name one for the command, cwd=") from None


def words_of(words: Any) -> list[bytes]:
    """A command as it travels. Raises TypeError for a string: no shell takes it apart."""
    if isinstance(words, str | bytes | os.PathLike) or not isinstance(words, Iterable):
        raise TypeError(f"a command is a list of words, like ['gzip', 'file'], not {words!r}: no shell takes it apart")
    return [argument_bytes(word) for word in words]


class ArgumentLists:
    """The items of an input, each as the arguments of one command; it has a length if the input has one.

    `words`: the template. Where it has a place beyond the last argument of a job, that is a ValueError, for a list
    before anything is drawn. `stdin`: the last word of each item is what the command reads, and may be any bytes.
    """

    def __init__(self, items: Iterable[Any], words: Sequence[bytes] = (), *, stdin: bool = False) -> None:
        self._items = items
        self._stdin = stdin
        places = {abs(int(match[2])): match[0] for word in words for match in REPLACEMENT.finditer(word) if match[2]}
        self._most = max(places, default=0)
        self._place = os.fsdecode(places.get(self._most, b""))
        if self._most and isinstance(items, Sequence):
            for item in items:
                self._fitting(item)

    def __iter__(self) -> Iterator[list[bytes]]:
        return map(self._fitting, self._items)

    def _fitting(self, item: Any) -> list[bytes]:
        if self._stdin:
            return [*_arguments(item[:-1]), item[-1]]
        arguments = _arguments(item)
        if self._most > len(arguments):
            raise ValueError(f"{self._place} in the command, and the inputs of a job are {item!r}")
        return arguments

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]  # TypeError says that there is none


def _arguments(item: Any) -> list[bytes]:
    return [argument_bytes(word) for word in item] if isinstance(item, list | tuple) else [argument_bytes(item)]
