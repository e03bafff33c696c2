"""Pipelines that are kept for the next call, as loky keeps its executor: starting one costs as much as a thousand jobs.

Promises:

1. One is kept for each place. Whoever wants it with another initializer or more slots gets a new one.
2. It is kept no longer when it broke or was left, when another one took its place, and when no job was submitted or
   ran for its idle time; it ends when nobody holds it any more, and with the interpreter. `end_all` ends all at once.
3. A forked child has none of them.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from penstock.client import Pipeline, Submitter
from penstock.client.locate import locate
from penstock.job.spec import ID_BYTES
from penstock.job.wrappers import Initializer, Prepared, Surroundings
from penstock.keys.files import KeyFile
from penstock.station.capacity import default_slots

IDLE_TIME = 300.0
"""Seconds: as long as loky's workers wait for more."""


class Begin(NamedTuple):
    """What runs first in each slot's process."""

    function: Callable[..., Any] | None = None
    arguments: tuple[Any, ...] = ()

    def is_same(self, other: Begin) -> bool:
        """Whether a process that began so need not begin again."""
        try:
            return bool(self.function == other.function and self.arguments == other.arguments)
        except Exception:  # noqa: BLE001 - arrays have no truth, and users' own comparisons may raise anything
            return False


class Reused:
    """A pipeline that is kept for the next call, with the jobs that run on it."""

    def __init__(
        self, place: tuple[str, KeyFile | None], key: str | os.PathLike[str] | None, slots: int, begin: Begin
    ) -> None:
        url, _ = place
        self.place = place
        self.slots = slots
        self.begin = begin
        self.idle_time = IDLE_TIME
        self.pipeline: Pipeline = Pipeline(url, slots=slots) if url == "local" else Pipeline(url, key=key)
        self.used_at: float = time.monotonic()
        self._open: set[Future[Any]] = set()
        function, arguments = begin
        self._initializer = None if function is None else Initializer(os.urandom(ID_BYTES), function, arguments)

    def submit(self, view: Submitter, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Submit a job through this pipeline or a view of it."""
        self.used_at = time.monotonic()
        if self._initializer is not None:
            function = Prepared(function, self._initializer, Surroundings())
        future = view.submit(function, *args)
        self._open.add(future)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: Future[Any]) -> None:
        self.used_at = time.monotonic()
        self._open.discard(future)

    def is_usable(self) -> bool:
        """Whether it takes jobs."""
        try:
            self.pipeline.engine.ensure_usable()
        except Exception:  # noqa: BLE001 - whatever ended it
            return False
        return True

    def idle_until(self) -> float:
        """The monotonic time at which it is kept no longer if nobody uses it until then."""
        return (time.monotonic() if self._open else self.used_at) + self.idle_time

    def end(self) -> None:
        """End it, and all jobs that run there. Where none runs, nothing is waited for: the pipeline may have ended long
        ago."""
        engine = self.pipeline.engine
        if self._open:
            engine.terminate()
        else:
            engine.abandon(0.0)


class Shelf:
    """All pipelines that this process keeps, and the thread that forgets those that are not used."""

    def __init__(self, inherited: list[Reused] | None = None) -> None:
        """`inherited`: the parent's, which a forked child only holds: they are not its to end."""
        self.changed: threading.Condition = threading.Condition()
        self.kept: list[Reused] = []
        self._inherited = inherited
        self._watching = False

    def find(self, place: tuple[str, KeyFile | None], slots: int, begin: Begin | None) -> Reused | None:
        """The one of this place, if it will do; else it is kept no longer."""
        for one in [one for one in self.kept if one.place == place]:
            if one.is_usable() and one.slots >= slots and (begin is None or one.begin.is_same(begin)):
                return one
            self.kept.remove(one)
        return None

    def add(self, one: Reused) -> None:
        """Keep this one, and watch for how long it is used."""
        self.kept.append(one)
        if not self._watching:
            self._watching = True
            threading.Thread(target=self._watch, name="penstock-reused", daemon=True).start()

    def _watch(self) -> None:
        with self.changed:
            while self.kept:
                now = time.monotonic()
                self.kept = [one for one in self.kept if one.idle_until() > now]
                self.changed.wait(max(0.0, min((one.idle_until() for one in self.kept), default=now) - now))
            self._watching = False


_shelf = Shelf()


def reuse(
    url: str | None,
    key: str | os.PathLike[str] | None = None,
    *,
    slots: int = 0,
    begin: Begin | None = None,
    idle_time: float = IDLE_TIME,
) -> Reused:
    """The pipeline that is kept for this place, made if there is none. An embedded one has `slots`, or as many as there
    are cores if that is more. Without `begin` it may have begun in any way. Raises what Pipeline raises."""
    place = locate(url, key)
    slots = max(slots, default_slots()) if place[0] == "local" else 0
    shelf = _shelf
    with shelf.changed:
        one = shelf.find(place, slots, begin)
        if one is None:
            one = Reused(place, key, slots, begin or Begin())
            shelf.add(one)
        one.idle_time = idle_time
        one.used_at = time.monotonic()
        shelf.changed.notify()
    return one


@atexit.register
def end_all() -> None:
    """End all that are kept, and whatever runs in them."""
    with _shelf.changed:
        ended, _shelf.kept = _shelf.kept, []
        _shelf.changed.notify()
    for one in ended:
        one.end()


def _in_child() -> None:
    # a thread that has not come along may hold the lock
    global _shelf  # noqa: PLW0603 - it is this process's
    _shelf = Shelf(inherited=_shelf.kept)


if hasattr(os, "register_at_fork"):  # Windows knows no fork
    os.register_at_fork(after_in_child=_in_child)
