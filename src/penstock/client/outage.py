"""A pipeline that does not answer: how long a client waits for it at first, and what it says of it later."""

from __future__ import annotations

import logging

CONNECT_TIMEOUT = 5.0
"""Seconds within which a pipeline must answer, else NoPipeline."""

log = logging.getLogger("penstock.client")


class Outage:
    """Says once, to whoever reads the log of this program, that a station is gone, and once that it is back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._since: float | None = None
        self._said = False

    def watch(self, missing: list[str], now: float) -> None:
        """These stations are not connected now."""
        if not missing:
            if self._said:
                log.warning("%s answers again", self._url)
            self._since, self._said = None, False
        elif self._since is None:
            self._since = now
        elif not self._said and now >= self._since + CONNECT_TIMEOUT:
            self._said = True
            log.warning("no %s answers at %s: waiting for it", " and no ".join(missing), self._url)
