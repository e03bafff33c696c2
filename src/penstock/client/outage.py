"""A pipeline that does not answer: how long a client waits for it at first, and what it says of it later.

Promises:

1. That a station is gone, or that the ventilator is there and answers nothing, is said once, to whoever reads the log
   of this program, and once that it is over.
2. A restart, and what is merely slow, are not worth a word.
"""

from __future__ import annotations

from collections.abc import Callable

from penstock.errors import NoPipeline, PenstockError, Refused
from penstock.wire.greeting import Reception

CONNECT_TIMEOUT = 5.0
"""Seconds within which a pipeline must answer, else NoPipeline."""
FULL = "the station has as many connections as it may, which its log says"
"""Why a station may hang up that would let this client in."""
SAID_AFTER = 2.5
"""Seconds of either: a person who waits is told before they wonder."""


def not_let_in(endpoint: str, met: Reception, *, has_key: bool) -> PenstockError:
    """The error where a handshake was not completed; `met`: how whoever listens there meets those who come."""
    if met is Reception.HUNG_UP:
        return NoPipeline(f"{endpoint} hangs up at once: it is a tunnel whose far end is down, or {FULL}")
    if met is Reception.SILENT:
        return NoPipeline(f"no answer in the handshake at {endpoint}: what listens there is stopped, or is no penstock")
    if has_key:
        known = "the key is not on the list there (`penstock keys list`), or of another pipeline"
        return Refused(f"{endpoint} hung up on this key: {known}, or {FULL}")
    return Refused(f"{endpoint} is there and hung up: it wants a key (--key), or is no penstock, or {FULL}")


def unanswered(url: str, missing: list[str], seconds: float) -> NoPipeline:
    """The error where no answer came in time; `missing`: the stations that are not connected any more."""
    lost = f": the {' and the '.join(missing)} hung up; it is stopped, or {FULL}" if missing else ""
    return NoPipeline(f"{url}: no answer within {seconds:g} s{lost}")


class Outage:
    """Warns once when a station has not answered for some time, and says when it does again."""

    def __init__(self, url: str, warn: Callable[[str], None]) -> None:
        self._url = url
        self._warn = warn
        self._since: float | None = None
        self._said = False

    def watch(self, missing: list[str], silence: float, now: float) -> None:
        """Look at which stations are `missing` now, and at the seconds of `silence` in which the ventilator has owed an
        answer."""
        if not missing and not silence:
            if self._said:
                self._warn(f"{self._url} answers again")
            self._since, self._said = None, False
            return
        if self._since is None:
            self._since = now - silence
        if not self._said and now >= self._since + SAID_AFTER:
            self._said = True
            self._warn(self._words(missing))

    def _words(self, missing: list[str]) -> str:
        if missing:
            return f"no {' and no '.join(missing)} answers at {self._url}: waiting for it"
        why = "it is stopped, its disk is full, or the network is slow"
        return f"the ventilator at {self._url} does not answer ({why}): waiting for it"
