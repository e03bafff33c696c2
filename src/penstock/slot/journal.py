"""What the jobs of a piece came to that is not sent yet, where it outlives the slot: in memory shared with the agent.

A slot sends the results of a piece together. Until then each is in the journal before the next job begins, so that a
slot that is ended, or dies, costs the job that ran and no other: the agent reads there what came before. Writing is a
copy, not a system call, and no job can close it. Where a result is too large for it, or has no form there, the slot
sends all it has and begins anew.

The entries are msgpack, one behind the other, of the jobs from SAVED_FROM on: a plain value is itself (a tuple an
array), any other value an ext SERIALIZED of its bytes, and what is no silent success an ext RECORD. Their number and
their bytes are one cell, so that half an entry is never read.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from penstock.errors import ProtocolError
from penstock.job import payload
from penstock.job.spec import JobState
from penstock.slot.protocol import JOURNAL_BYTES, SAVED, SAVED_FROM, Page, Ran

SERIALIZED, RECORD = 1, 2
"""Codes of msgpack's ext."""
ONE = 1 << 32
"""An entry, in the cell SAVED; its lower half counts bytes."""
ARRAY = struct.Struct(">BI")
"""The head of a msgpack array of any length."""
ARRAY_32 = 0xDD
SHORT, MIDDLE = 1 << 4, 1 << 16
"""Arrays of fewer entries have a head of one byte, or of three."""
PLAIN = frozenset({int, float, str, bytes, bool, type(None), list})
"""What an entry that is no ext decodes to."""

_encode = msgspec.msgpack.Encoder().encode
_records = msgspec.msgpack.Decoder(tuple[Ran, bytes])


class Journal:
    """The slot's side: entries of the jobs one behind the other."""

    def __init__(self, page: Page) -> None:
        self._cells, self._room = page.cells, page.journal
        self._serializer = ""
        self._end = 0
        """Beyond JOURNAL_BYTES: something has no entry."""
        self._entries = 0
        """How many, times ONE."""

    @property
    def is_incomplete(self) -> bool:
        """Whether something has no entry: nothing more gets one until `begin`."""
        return self._end > JOURNAL_BYTES

    def begin(self, index: int, serializer: str) -> None:
        """It is empty; the next entry is of the job `index`, of a batch with this serializer."""
        self._serializer = serializer
        self._cells[SAVED] = self._end = self._entries = 0
        self._cells[SAVED_FROM] = index

    def give_up(self) -> bool:
        """What comes next has no entry; True."""
        self._end = JOURNAL_BYTES + 1
        return True

    def add(self, value: object) -> bool:
        """The next job succeeded in silence; returns whether something has no entry now."""
        try:
            data = _encode(value)
        except Exception:  # noqa: BLE001 - plain values for which msgpack has no form, such as complex numbers
            return self._add_in_own_form(value)
        # written out, as in `_add`: a call costs as much as what it does
        start = self._end
        self._end = end = start + len(data)
        if end > JOURNAL_BYTES:
            return True
        self._room[start:end] = data
        self._entries += ONE
        self._cells[SAVED] = self._entries + end
        return False

    def _add_in_own_form(self, value: object) -> bool:
        try:
            data = payload.encode(value, self._serializer)
        except Exception:  # noqa: BLE001 - its batch's serializer has none either: its job fails when it is sent
            return self.give_up()
        return self._add(_encode(msgspec.msgpack.Ext(SERIALIZED, data)), 1)

    def add_frozen(self, value: object) -> bool:
        """The same, of a value that may be serialized already."""
        if type(value) is payload.Alone:
            return self._add(_encode(msgspec.msgpack.Ext(SERIALIZED, value.data)), 1)
        return self.add(value)

    def add_all(self, values: Sequence[object]) -> bool:
        """The next jobs succeeded in silence, all with plain values. False: one of these has no form in msgpack."""
        try:
            data = _encode(values)
        except Exception:  # noqa: BLE001 - as above
            return False
        count = len(values)
        self._add(data[1 if count < SHORT else 3 if count < MIDDLE else 5 :], count)
        return True

    def add_record(self, ran: Ran, body: bytes) -> bool:
        """This came of the next job."""
        return self._add(_encode(msgspec.msgpack.Ext(RECORD, _encode((ran, body)))), 1)

    def _add(self, data: bytes, count: int) -> bool:
        start = self._end
        self._end = end = start + len(data)
        if end > JOURNAL_BYTES:
            return True
        self._room[start:end] = data
        self._entries += count * ONE
        self._cells[SAVED] = self._entries + end
        return False


class Saved(NamedTuple):
    """The records of neighbouring jobs, and their values."""

    ran: tuple[Ran, ...]
    bodies: tuple[bytes, ...]


def saved(page: Page, start: int, stop: int, serializer: str, began: float, took: float) -> Saved:
    """What the journal has of the jobs [start, stop): those of which nothing else is known began at `began` (wall
    clock) and took so many seconds together. Raises ProtocolError: a job has written there."""
    count, size = divmod(page.cells[SAVED], ONE)
    first = page.cells[SAVED_FROM]
    if not (0 <= count <= size <= JOURNAL_BYTES and first >= 0):
        raise ProtocolError("it says that it has what it cannot have")
    try:
        entries = msgspec.msgpack.decode(ARRAY.pack(ARRAY_32, count) + page.journal[:size])
        entries = [_entry(one) for one in entries[max(0, start - first) : max(0, stop - first)]]
        return _sorted(entries, max(start, first), serializer, began, took / max(1, len(entries)))
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ProtocolError(f"its entries cannot be read: {error}") from error


def _entry(entry: Any) -> Any:
    """A value, one that is Alone, or a record with its body."""
    kind = type(entry)
    if kind is msgspec.msgpack.Ext and entry.code == SERIALIZED:
        return payload.Alone(bytes(entry.data))
    if kind is msgspec.msgpack.Ext and entry.code == RECORD:
        return Record(*_records.decode(entry.data))
    if kind not in PLAIN:
        raise ProtocolError(f"a {kind.__name__} is no entry")
    return _with_tuples(entry) if kind is list else entry


def _with_tuples(value: Any) -> Any:
    return tuple(map(_with_tuples, value)) if type(value) is list else value


class Record(NamedTuple):
    """An entry that is no value."""

    ran: Ran
    body: bytes


def _sorted(entries: list[Any], at: int, serializer: str, began: float, each: float) -> Saved:
    """As a slot would have sent them: neighbours with values are one record."""
    records: list[Record] = []
    for is_record, group in groupby(entries, lambda entry: type(entry) is Record):
        found = list(group)
        if is_record:
            records += found
        else:
            body = payload.encode_values(found, serializer)
            elapsed = each * len(found)
            ran = Ran(at, at + len(found), JobState.SUCCEEDED, began, elapsed, len(body))
            records.append(Record(ran, body))
        at += len(found)
    return Saved(*map(tuple, zip(*records, strict=True))) if records else Saved((), ())
