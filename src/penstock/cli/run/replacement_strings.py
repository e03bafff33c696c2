"""The replacement strings of a command line: which there are, and where they stand.

What is none is text, as it is for GNU parallel: JSON, awk's ``{print}``, ``{name}`` without `--header`. What would be
one there, and is none here, is refused: as text it would be a wrong file name, or a wrong command.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from penstock.cli.run.string_expansions import PATHS, PLUS, Change, expansion, substitutions
from penstock.errors import ConfigError

PERL = re.compile(rb"\{-?\d*=.*?=\}|\{=.*?=\}", re.DOTALL)
PLACED = re.compile(rb"(-?[1-9]\d*)(.*)", re.DOTALL)
BARE = re.compile(rb"[\w./+=:,@{}%#^\"'-]*")
"""A word in which braces and percent signs are part of a name, not of a program."""

Counted = Literal["number", "slot", "total", "padded"]


class Place(NamedTuple):
    """Where something is put in: an argument, or a count."""

    change: Change | None = None
    """Of an argument; None: a count."""
    which: int | None = None
    """Which argument, from 1, or from the end; None: all of them."""
    counted: Counted = "number"
    """Which counter it stands for."""


WordPiece = bytes | Place

COUNTERS: dict[bytes, Counted] = {b"#": "number", b"%": "slot"}
PLUS_COUNTERS: dict[bytes, Counted] = {b"##": "total", b"0#": "padded", b"slot": "slot"}
NOT_BUILT = {
    b"0%": "write {%}, which is not padded",
    b"host": "the environment of a job has PENSTOCK_SLOT and PENSTOCK_JOB_ID; --shell '$(hostname)' is the host",
    b"sshlogin": "--shell '$(hostname)' is the host",
    b"hgrp": "workers have tags: --needs TAG",
    b"agrp": "workers have tags: --needs TAG",
    b"hostgroup": "workers have tags: --needs TAG",
    b"choose_k": "leave out of the input what shall not run",
    b"uniq": "leave out of the input what shall not run",
    b"seq": "write {#}",
}
"""What is refused, with --plus or without, and what to write instead."""


class Naming(NamedTuple):
    """The options that say what the replacement strings are called."""

    plus: bool | None = None
    """None: nobody said, so that those of --plus are taken for a mistake."""
    replace: str | None = None
    rpl: Sequence[str] = ()
    extensionreplace: str | None = None
    basenamereplace: str | None = None
    dirnamereplace: str | None = None
    basenameextensionreplace: str | None = None
    seqreplace: str | None = None
    slotreplace: str | None = None

    def renamed(self) -> Iterator[tuple[bytes, bytes]]:
        """What stood between the braces, and what is written instead of the whole."""
        for inner, name in (
            (b"", self.replace),
            (b".", self.extensionreplace),
            (b"/", self.basenamereplace),
            (b"//", self.dirnamereplace),
            (b"/.", self.basenameextensionreplace),
            (b"#", self.seqreplace),
            (b"%", self.slotreplace),
        ):
            if name is not None:
                yield inner, os.fsencode(name)

    @property
    def is_plain(self) -> bool:
        """Whether only the strings that every worker knows are replaced."""
        return not self.plus and not self.rpl and not any(True for _ in self.renamed())


class Strings:
    """The replacement strings that a command line can have. ConfigError: one has no name, or does more
    than substitute."""

    def __init__(self, naming: Naming, names: Sequence[bytes] = ()) -> None:
        """`names`: what --header calls the columns."""
        self._plus = bool(naming.plus)
        self._names = {name: at for at, name in reversed(list(enumerate(names, 1)))}
        self._inner: dict[bytes, Place] = {inner: Place(change) for inner, change in PATHS.items()}
        self._inner |= {inner: Place(counted=name) for inner, name in COUNTERS.items()}
        if self._plus:
            self._inner |= {inner: Place(change) for inner, change in PLUS.items()}
            self._inner |= {inner: Place(counted=name) for inner, name in PLUS_COUNTERS.items()}
        self._whole: dict[bytes, Place] = {}
        for inner, name in naming.renamed():
            self._put(name, self._inner.pop(inner))
        for text in naming.rpl:
            tag, _, code = text.partition(" ")
            self._put(os.fsencode(tag), Place(substitutions(tag, code)))
        whole = sorted(map(re.escape, self._whole), key=len, reverse=True)
        self._mark = re.compile(b"|".join([*whole, rb"\{[^}]*\}"]))

    def _put(self, name: bytes, place: Place) -> None:
        if not name:
            raise ConfigError("a replacement string needs a name: -I TEXT, --rpl 'NAME s/OLD/NEW/'")
        if name.startswith(b"{") and name.endswith(b"}"):
            self._inner[name[1:-1]] = place
        else:
            self._whole[name] = place

    def parse(self, text: bytes) -> list[WordPiece]:
        """What is put in where, and the text between."""
        pieces: list[WordPiece] = []
        begun = at = 0
        while (match := self._mark.search(text, at)) is not None:
            place = self._whole.get(match[0]) or self._braces(match[0][1:-1])
            at = match.end() if place else match.start() + 1
            if place:
                pieces += [text[begun : match.start()], place]
                begun = at
        return [piece for piece in (*pieces, text[begun:]) if piece != b""]

    def _braces(self, inner: bytes) -> Place | None:
        if (found := self._inner.get(inner)) is not None:
            return found
        if match := PLACED.fullmatch(inner):
            found = self._named(match[2])
            return found and found._replace(which=int(match[1]))
        for rest in sorted(PATHS, key=len, reverse=True):
            name = inner.removesuffix(rest)
            if (rest == b"" or name != inner) and name in self._names:
                return Place(PATHS[rest], self._names[name])
        return self._named(inner)

    def _named(self, inner: bytes) -> Place | None:
        """The replacement of one argument's text."""
        found = self._inner.get(inner)
        if found is not None:
            return found if found.change else None
        change = expansion(inner) if self._plus else None
        return change and Place(change)


def refuse_unknown(words: Sequence[str], naming: Naming) -> None:
    """ConfigError: a replacement string that GNU parallel has, and that is none here."""
    if match := PERL.search(b" ".join(map(os.fsencode, words))):
        shown = match[0].decode(errors="replace")
        raise ConfigError(
            f"{shown}: there is no Perl in replacement strings; use --plus ({{%.gz}}, {{/old/new}}),"
            " --rpl 'NAME s/old/new/', or compute it with --shell"
        )
    for word in map(os.fsencode, words):
        if naming.plus is not False:
            for token in word.split():
                _refuse_in(token, naming)


def _refuse_in(word: bytes, naming: Naming) -> None:
    is_bare = BARE.fullmatch(word) is not None
    renamed = {name for _, name in naming.renamed()} | {os.fsencode(text.split(" ")[0]) for text in naming.rpl}
    for match in re.finditer(rb"(?<![$\\])\{-?\d*([^{}]*)\}", word):
        shown, inner = match[0].decode(errors="replace"), match[0][1:-1]
        if match[0] in renamed:
            continue
        if instead := NOT_BUILT.get(inner):
            raise ConfigError(f"{shown}: there is no such replacement string: {instead} (with --no-plus it is text)")
        rest = match[1]
        if not naming.plus and (rest in PLUS or inner in PLUS_COUNTERS or (is_bare and _is_dynamic(rest))):
            raise ConfigError(
                f"{shown} is a replacement string of --plus: add --plus (or --no-plus to take it as text)"
            )


def _is_dynamic(inner: bytes) -> bool:
    if re.fullmatch(rb",?\d*", inner):
        return False  # how often, in a regular expression
    try:
        return expansion(inner) is not None
    except ConfigError:
        return True
