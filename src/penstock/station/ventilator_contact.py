"""What a station says of its touch with the ventilator: that it waits for one, has joined, or lost the link.

Promise: a station that is not part of a pipeline says so after WAIT_PATIENCE, and again every WAIT_AGAIN, until it is;
so does a worker whose outcomes nobody takes.
"""

from __future__ import annotations

from typing import Any

from penstock.station.contract import Log

WAIT_PATIENCE = 2.0
"""Seconds to join before anything is said: who was started together with its ventilator has joined by then."""
WAIT_AGAIN = 60.0
"""Seconds until the same is said again: often enough to be the last line of a log, rarely enough to be no flood."""


class VentilatorContact:
    """Of the station `about`, with the ventilator at `url`."""

    def __init__(self, url: str, now: float, **about: Any) -> None:
        self._url = url
        self._about = about
        self._asked: int | None = None
        """The number of the hello that waits for its welcome."""
        self._since = now
        """When it joined, or began to wait."""
        self._say_at = now + WAIT_PATIENCE
        self._has_waited = False
        """Whether WAIT_PATIENCE is over since then."""
        self.joined: bool = False

    @property
    def due_at(self) -> float | None:
        """When there is something to say even if nothing happens."""
        return None if self.joined else self._say_at

    def said_hello(self, number: int, now: float) -> None:
        """It asked to be let join: whatever was before is over."""
        self._asked = number
        self._part(now)

    def welcomed(self, number: int, now: float) -> list[Log]:
        """The hello of this number was answered."""
        return self.heard(now) if number == self._asked else []

    def heard(self, now: float) -> list[Log]:
        """The ventilator counts this station in."""
        if self.joined:
            return []
        self.joined, self._since = True, now
        return [Log("joined", {"url": self._url, **self._about})]

    def look(self, connected: bool, handshake_failure: str, now: float) -> list[Log]:
        """What is to be said now; `handshake_failure`: why a handshake failed, which whoever saw it has said at once;
        empty: none did."""
        if self.joined and not connected:
            self._part(now)
            return [Log("lost_link", {"url": self._url})]
        if self.joined or now < self._say_at:
            return []
        first, self._has_waited, self._say_at = not self._has_waited, True, now + WAIT_AGAIN
        if handshake_failure:
            return [] if first else [Log("no_handshake", {"url": self._url, "why": handshake_failure})]
        fields = {"url": self._url, "seconds": round(now - self._since)}
        return [Log("not_joined", fields) if connected else Log("no_answer", fields)]

    def _part(self, now: float) -> None:
        if self.joined:
            self.joined, self._has_waited = False, False
            self._since, self._say_at = now, now + WAIT_PATIENCE


class Outlet:
    """A worker's way to the sink, at this endpoint."""

    def __init__(self, endpoint: str, now: float) -> None:
        self._endpoint = endpoint
        self._since = now
        """When the way was last seen open."""
        self._say_at = now + WAIT_PATIENCE
        self._is_open = self._said = False

    @property
    def due_at(self) -> float | None:
        """When there is something to say even if nothing happens."""
        return None if self._is_open else self._say_at

    def look(self, is_open: bool, now: float) -> list[Log]:
        """What is to be said now."""
        if is_open:
            news = [Log("sink_reached", {"endpoint": self._endpoint})] if self._said else []
            self._is_open, self._said = True, False
            self._since, self._say_at = now, now + WAIT_PATIENCE
            return news
        if self._is_open:
            self._is_open, self._since, self._say_at = False, now, now + WAIT_PATIENCE
        if now < self._say_at:
            return []
        self._said, self._say_at = True, now + WAIT_AGAIN
        return [Log("no_sink", {"endpoint": self._endpoint, "seconds": round(now - self._since)})]
