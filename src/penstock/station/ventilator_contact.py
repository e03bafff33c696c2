"""What a station says of its touch with the ventilator: that it waits for one, has joined, or lost the link.

Promises:

1. A station says at once whom it waits for. While it is not part of a pipeline it says so after WAIT_PATIENCE, and
   again every WAIT_AGAIN, until it is; so does a worker whose outcomes nobody takes.
2. Each of these lines names the sockets that are not connected, with their ports: one of six may be shut.
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
        self._is_new = True
        self._down_since: float | None = None
        """When one of its connections was found lost although it has joined."""
        self.joined: bool = False

    @property
    def due_at(self) -> float | None:
        """When there is something to say even if nothing happens."""
        return None if self.joined and self._down_since is None else self._say_at

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
        self.joined, self._since, self._down_since = True, now, None
        return [Log("joined", {"url": self._url, **self._about})]

    def look(self, connected: bool, down: str, handshake_failure: str, now: float) -> list[Log]:
        """What is to be said now. `connected`: whether control is, and `down`: which sockets are not, in words.
        `handshake_failure`: why a handshake failed, which whoever saw it has said at once; empty: none did."""
        if self.joined and connected:
            return self._look_behind(down, now)
        if self.joined:
            self._part(now)
            return [Log("lost_link", {"url": self._url, "down": down})]
        if self._is_new:
            self._is_new = False
            return [Log("joining", {"url": self._url, "down": down})]
        if now < self._say_at:
            return []
        first, self._has_waited, self._say_at = not self._has_waited, True, now + WAIT_AGAIN
        if handshake_failure:
            return [] if first else [Log("no_handshake", {"url": self._url, "down": down, "why": handshake_failure})]
        fields = {"url": self._url, "seconds": round(now - self._since)}
        if not down:
            return [Log("not_joined", fields)]
        fields["down"] = down
        return [Log("not_connected", fields) if connected else Log("no_answer", fields)]

    def _look_behind(self, down: str, now: float) -> list[Log]:
        """It is heard, and that may be all."""
        if not down:
            was_said = self._down_since is not None and self._has_waited
            self._down_since = None
            return [Log("connected_again", {"url": self._url})] if was_said else []
        if self._down_since is None:
            self._down_since, self._has_waited, self._say_at = now, False, now + WAIT_PATIENCE
        if now < self._say_at:
            return []
        self._has_waited, self._say_at = True, now + WAIT_AGAIN
        return [Log("link_down", {"down": down, "seconds": round(now - self._down_since)})]

    def _part(self, now: float) -> None:
        if self.joined:
            self.joined, self._has_waited = False, False
            self._since, self._say_at = now, now + WAIT_PATIENCE


class Outlet:
    """A worker's way to the sink, by its socket in words."""

    def __init__(self, down: str, now: float) -> None:
        self._down = down
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
            news = [Log("sink_reached", {"down": self._down})] if self._said else []
            self._is_open, self._said = True, False
            self._since, self._say_at = now, now + WAIT_PATIENCE
            return news
        if self._is_open:
            self._is_open, self._since, self._say_at = False, now, now + WAIT_PATIENCE
        if now < self._say_at:
            return []
        self._said, self._say_at = True, now + WAIT_AGAIN
        return [Log("no_sink", {"down": self._down, "seconds": round(now - self._since)})]
