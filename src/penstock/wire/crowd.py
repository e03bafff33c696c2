"""How many connections a station has, of those that it may have, and who is turned away.

Promises:

1. A station takes as many connections as its limits and its open files allow, keeps files back for its own, and turns
   away the newest beyond that: those that it has are served.
2. It says so in its log and to `doctor`, and says to `doctor` before that it will soon be so.
3. It does not start where its open files are too few for anybody.
"""

from __future__ import annotations

from collections import Counter

from penstock.errors import ConfigError
from penstock.wire.bounds import Limits, is_to_be_logged
from penstock.wire.connections import Connections, open_files
from penstock.wire.guard import News, cut_off, spare

SPARE_FILES = 100
"""Open files that are left for the store, the log and the station's own sockets."""
CONNECTIONS_MIN = 4
"""At one socket, without which a pipeline runs nothing: the sink, a worker, and a client that looks."""
FULL = 0.8
"""Of the connections that there may be, from which on somebody should know."""


class Crowd:
    """At the sockets of one station that others connect to, each of which may have as many connections."""

    def __init__(self, limits: Limits, news: News) -> None:
        self._limit = self._most = limits.connections
        self._news = news
        self._why = "--connections"
        self._turned_away: Counter[str] = Counter()

    def make_room(self, doors: int) -> None:
        """Raise the limit of open files, as far as may be, for so many sockets. Raises ConfigError: it is too low."""
        files = open_files(doors * self._limit + SPARE_FILES)
        spare()
        self._most = min(self._limit, (files - SPARE_FILES) // doors)
        if self._most < self._limit:
            self._why = f"this process may open {files:,} files (ulimit -Hn; LimitNOFILE= in systemd)"
        if self._most < CONNECTIONS_MIN:
            least = SPARE_FILES + doors * CONNECTIONS_MIN
            raise ConfigError(
                f"a process may open {files:,} files here, and this station needs {least:,} at least:"
                " raise `ulimit -Hn` (LimitNOFILE= in systemd)"
            )

    def on_accepted(self, name: str, connections: Connections, fd: int) -> None:
        """This connection came to the socket of this name."""
        if connections.door is None or connections.open <= self._most:
            return
        cut_off({connections.door}, only=fd)
        self._turned_away[name] += 1
        count = self._turned_away[name]
        if is_to_be_logged(count):
            self._news.log("too_many_connections", socket=name, most=self._most, limit=self._why, count=count)

    def said(self, station: str, connections: dict[str, Connections]) -> tuple[str, ...]:
        """Lines for people; none: there is room."""
        lines: list[str] = []
        for name, door in connections.items():
            if door.bound and door.open >= FULL * self._most:
                line = f"the {station} has {door.open:,} of at most {self._most:,} connections at {name} ({self._why})"
                away = self._turned_away[name]
                lines.append(f"{line}, and has turned away {away:,}" if away else line)
        return tuple(lines)
