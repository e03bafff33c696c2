"""A backup of a running pipeline: its stations are asked for copies of their stores, and how far these are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from penstock.client.locate import locate
from penstock.client.session import Session
from penstock.client.single_submits import Streams
from penstock.errors import NoPipeline, ProtocolError, StoreError
from penstock.job.spec import ID_BYTES
from penstock.wire.desk_messages import BackUp, BackUpState

LOOK_INTERVAL = 0.1
ANSWER_TIME = 30.0
"""Seconds: a station answers between two turns, and may be at work on a long one."""


class Copying:
    """The copies in this `folder` of the stations' hosts; `data`: where their stores must be, empty: anywhere."""

    def __init__(self, session: Session, folder: str, data: str) -> None:
        self._session = session
        self._asked = os.urandom(ID_BYTES)
        self._folder, self._data = folder, data

    def look(self, name: str) -> BackUpState:
        """Whether the station that has the store of this name can copy it. Raises ConfigError: it cannot, Refused: this
        key may not ask, NoPipeline."""
        return self._ask(name, begins=False)

    def copy(self, name: str) -> Iterator[BackUpState]:
        """Have the store of this name copied; how far it is, now and again until the copy is whole. Raises StoreError:
        it will not be."""
        state = self._ask(name, begins=True)
        yield state
        while state.copied is not None and state.copied < 1:
            time.sleep(LOOK_INTERVAL)
            state = self._ask(name, begins=False)
            yield state
        if state.copied is None:
            raise StoreError(f"{state.path}: the station has ended meanwhile, and this copy with it; try again")

    def _ask(self, name: str, *, begins: bool) -> BackUpState:
        make = partial(BackUp, asked=self._asked, folder=self._folder, data=self._data, begins=begins)
        ask: Callable[[], BackUpState] = {
            "queue.db": lambda: self._session.ask(make, ANSWER_TIME),
            "results.db": lambda: self._session.fetch(make, ANSWER_TIME)[0],
        }[name]
        try:
            return ask()
        except ProtocolError:
            raise ProtocolError(f"{self._session.url}: a station there is of an earlier release: upgrade it") from None


@contextmanager
def copying_at(url: str, folder: str, data: str) -> Iterator[Copying]:
    """The stations at this URL, asked with the key of the environment. Raises NoPipeline: one does not answer; Refused,
    ConfigError."""
    url, key = locate(url, None)
    session = Session(url, Streams(), None, key)  # it submits nothing
    try:
        yield Copying(session, folder, data)
    except NoPipeline:
        session.connect(0.0)  # which says who is missing, and why
        raise
    finally:
        session.close()
