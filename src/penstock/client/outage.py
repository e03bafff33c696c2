"""A pipeline that does not answer: how long a client waits for it at first, and what it says of it later."""

from __future__ import annotations

from collections.abc import Callable

CONNECT_TIMEOUT = 5.0
"""Seconds within which a pipeline must answer, else NoPipeline."""


class Outage:
    """Says once, to whoever reads the log of this program, that a station is gone, and once that it is back."""

    def __init__(self, url: str, warn: Callable[[str], None]) -> None:
        self._url = url
        self._warn = warn
        self._since: float | None = None
        self._said = False

    def watch(self, missing: list[str], now: float) -> None:
        """These stations are not connected now."""
        if not missing:
            if self._said:
                self._warn(f"{self._url} answers again")
            self._since, self._said = None, False
        elif self._since is None:
            self._since = now
        elif not self._said and now >= self._since + CONNECT_TIMEOUT:
            self._said = True
            self._warn(f"no {' and no '.join(missing)} answers at {self._url}: waiting for it")
