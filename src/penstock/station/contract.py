"""What a station and its core say to each other, as far as it is the same in all three.

Something happens: that is an Input, or a message of the protocol. A core answers with Actions: it only says what it
wants done. The loop does it, in this order: every Save of a turn in one transaction, commit, then every other action in
the order given. Each station's own inputs and actions are in its wing (contract.py there).
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.keys.roles import EVERYONE, Peer
from penstock.wire.desk_messages import BackUp
from penstock.wire.records import Message

Bytes = bytes | memoryview


class Input(msgspec.Struct, frozen=True, gc=False):
    """Something that happened, as a core is told of it."""


class FromClient(Input, frozen=True):
    """A message on the desk; `wall_time` dates the batches in it, `sender` is whose key brought it."""

    client: bytes
    message: object
    payload: Bytes = b""
    wall_time: float = 0.0
    sender: Peer = EVERYONE
    address: str = ""
    """Where it came from; empty: another process of this machine, or it does not matter."""


class Action(msgspec.Struct, frozen=True, gc=False):
    """Something a core wants done."""


Actions = list[Action]


class Save(Action, frozen=True):
    """Something to be committed, before anything else is done."""


class SaveOfBatch(Save, frozen=True):
    """Something to be committed of the batch with this id."""

    batch: bytes


class DeleteBatch(SaveOfBatch, frozen=True):
    """The batch and all that is stored of it (both stores have this one); the queue file keeps its id until
    SaveForgotten, and longer, with `why` it is gone: the kind of error for whoever asks, and one line for people."""

    why: tuple[str, str] = ("NoSuchBatch", "it was deleted")


class Answer(Action, frozen=True):
    """To a client, by its routing id, over the desk or the results socket."""

    client: bytes
    message: Message
    payload: Bytes = b""


class AnswerFromStore(Action, frozen=True):
    """To a client that asked for something of this batch, under this number: what the store has."""

    client: bytes
    number: int
    batch: bytes


class CopyStore(Action, frozen=True):
    """Answer a client that may have a copy of the store, and has this `key`, with how far it is."""

    client: bytes
    asked: BackUp
    key: str


class Report(Action, frozen=True):
    """To the ventilator (from a worker or the sink)."""

    message: Message


class Renew(Action, frozen=True):
    """Connect to control anew, if it is connected: nothing is heard of it. `is_said`: with a line in the log."""

    is_said: bool = True


class Refuse(Action, frozen=True):
    """The station must not go on with the file that it has: one line for people says why, and what to do."""

    text: str


class Log(Action, frozen=True):
    """An event for the log, worded in log_events.py."""

    event: str
    fields: dict[str, Any]
