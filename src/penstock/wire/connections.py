"""The connections of a bound socket, counted from what its monitor says.

The monitor names a connection (by its file descriptor) when it comes and when it goes, not when it has shaken hands.
Strangers that never do leave within the handshake's time; the count is exact whenever no connection is in between.
"""

from __future__ import annotations


class Connections:
    """Of one socket. `bound`: others connect to it; else it has one connection, which comes and goes."""

    def __init__(self, *, bound: bool, door: int | str | None = None, quiet: bool = False) -> None:
        """`door`: where it listens, a port or a path. `quiet`: nobody but the socket's owner asks."""
        self.bound = bound
        self.door = door
        self.quiet = quiet
        self._new: set[int] = set()
        """Accepted, and not known to have shaken hands."""
        self._known: set[int] = set()
        self._shaken = 0
        """How many of the new ones have shaken hands."""
        self._events: list[bool] = []

    @property
    def open(self) -> int:
        """All that are open."""
        return len(self._new) + len(self._known)

    @property
    def shaken(self) -> int:
        """Those that have shaken hands."""
        return len(self._known) + self._shaken

    def accepted(self, fd: int) -> None:
        """Count one connection more."""
        self._known.discard(fd)
        self._new.add(fd)

    def has_shaken(self) -> None:
        """One of the new ones has shaken hands."""
        if not self.bound:
            self.accepted(-1)
        self._shaken = min(self._shaken + 1, len(self._new))
        self._settle()
        self._events.append(True)

    def closed(self, fd: int) -> None:
        """One is gone; while others are in between, it is taken for one that did not shake hands."""
        fd = fd if self.bound else -1
        self._known.discard(fd)
        self._new.discard(fd)
        self._shaken = min(self._shaken, len(self._new))
        self._settle()
        self._events.append(False)

    def take_events(self) -> list[bool]:
        """Who came (True) and went since the last call, in order."""
        events, self._events = self._events, []
        return events

    def _settle(self) -> None:
        if self._shaken == len(self._new):
            self._known |= self._new
            self._new.clear()
            self._shaken = 0


def open_files(wanted: int) -> int:
    """How many files this process may open: as many as are wanted, if the system lets it. The usual limit of 1,024 is
    for programs with few."""
    import resource  # noqa: PLC0415 - Windows has none, and clients there have few

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
