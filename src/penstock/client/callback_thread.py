"""The thread in which the code of users runs on behalf of a session: their callbacks, and what rebuilds their values.

Promises:

1. It does one thing after the other, in the order given, whatever each of them raises.
2. The session's own thread waits for nothing that is done here: a callback may take a minute, wait for a lock, or for
   what the pipeline answers, and the connection lives.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

from penstock.errors import ConfigError

LOOK_INTERVAL = 0.5
"""Seconds between two looks of who waits for it at whether there is a thread at all."""

Action = Callable[[], object]

log: logging.Logger = logging.getLogger("penstock.client")


class Delivery:
    """The thread in which a session runs the code of users. It starts with the first action that it is given, or when
    `start` is called."""

    def __init__(self) -> None:
        self._actions: SimpleQueue[Action | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    @property
    def is_here(self) -> bool:
        """Whether the caller is in this thread."""
        return threading.current_thread() is self._thread

    def start(self) -> None:
        """Have the thread, if it can be had: an interpreter that ends starts none, and nobody waits for it there."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="penstock-callbacks", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None

    def put(self, action: Action) -> None:
        """Do this when all that was given before is done."""
        self._actions.put(action)
        if self._closed:
            self._actions.put(None)
        self.start()

    def wait(self) -> None:
        """Return when all that was given so far is done; at once, if it is this that waits."""
        if self.is_here:
            return
        done = threading.Event()
        self.put(done.set)
        while self._thread is not None and not done.wait(LOOK_INTERVAL):
            pass

    def close(self) -> None:
        """Let the thread end when all is done."""
        self._closed = True
        self._actions.put(None)

    def _run(self) -> None:
        while True:
            if (action := self._actions.get()) is not None:
                attempt(action)
                del action  # nothing is kept while it waits
            elif self._ends():
                return

    def _ends(self) -> bool:
        """Whether all is done; what is given later starts another thread."""
        with self._starting:
            if self._actions.empty():
                self._thread = None
            return self._thread is None


def attempt(action: Action) -> None:
    """Do this; what it raises is logged, also what would end a thread."""
    try:
        action()
    except BaseException:
        with suppress(BaseException):  # the handlers of the log are the code of users, too
            log.exception("exception in a callback, or in what rebuilds a result")


def ensure_threads() -> None:
    """Raises ConfigError: threads are none here, or cannot wait for each other."""
    patched = getattr(sys.modules.get("gevent.monkey"), "is_module_patched", None)
    if patched is not None and (patched("threading") or patched("queue")):
        raise ConfigError(
            "gevent has made threads into greenlets, and a Pipeline needs real ones: call "
            "monkey.patch_all(thread=False, queue=False, subprocess=False), or use it in a process of its own"
        )
