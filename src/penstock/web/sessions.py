"""Who is logged in: the token of the next login, and the sessions of those who have logged in.

Promises:

1. A token logs in once; then there is another one. Both tokens and sessions are 256 random bits.
2. A session ends SESSION_TIME after its login, when it is logged out, and with the process: it is kept in memory only.
3. There are at most SESSIONS of them: one more ends the oldest.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import sha256

SESSION_TIME = 12 * 3600.0
"""Seconds: a day's work."""
SESSIONS = 100
"""At once: each is a login by somebody who read the console of `penstock web`."""


class Sessions:
    """`now` is a clock in seconds; `tell` is told the token of the first login by `announce`, and after each login the
    next one."""

    def __init__(self, now: Callable[[], float], tell: Callable[[str], object]) -> None:
        self._now = now
        self._tell = tell
        self._ends: dict[bytes, float] = {}
        """Of the digest of each session's cookie, in the order of their logins: to look one up tells nothing of others
        by the time that it takes."""
        self._token = secrets.token_urlsafe(32)

    def announce(self) -> None:
        """Tell the token that logs in now."""
        self._tell(self._token)

    def log_in(self, token: str) -> str | None:
        """The cookie of a new session; None: the token is not the one that logs in, or was used before."""
        if not secrets.compare_digest(_bytes(token), _bytes(self._token)):
            return None
        self._token = secrets.token_urlsafe(32)
        self.announce()
        cookie = secrets.token_urlsafe(32)
        while len(self._ends) >= SESSIONS:
            del self._ends[next(iter(self._ends))]
        self._ends[_digest(cookie)] = self._now() + SESSION_TIME
        return cookie

    def log_out(self, cookie: str) -> None:
        """End the session of this cookie."""
        self._ends.pop(_digest(cookie), None)

    def is_open(self, cookie: str) -> bool:
        """Whether this is the cookie of a session that has not ended."""
        return self._ends.get(_digest(cookie), 0.0) > self._now()


def _digest(cookie: str) -> bytes:
    return sha256(_bytes(cookie)).digest()


def _bytes(text: str) -> bytes:
    return text.encode(errors="backslashreplace")  # of strangers: it may be no Unicode
