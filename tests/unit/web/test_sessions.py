"""Who is logged in: penstock.web.sessions."""

from __future__ import annotations

from penstock.web.sessions import SESSION_TIME, SESSIONS, Sessions


class Clock:
    """A clock that stands, and the tokens that were announced meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.tokens: list[str] = []
        self.sessions = Sessions(lambda: self.now, self.tokens.append)
        self.sessions.announce()

    def log_in(self) -> str:
        """By the newest token."""
        cookie = self.sessions.log_in(self.tokens[-1])
        assert cookie is not None
        return cookie


def test_a_token_logs_in_once() -> None:
    """Each login takes a token of its own, which is announced when the last one is used up."""
    clock = Clock()
    assert len(clock.tokens) == 1
    cookie = clock.log_in()
    assert clock.sessions.is_open(cookie)
    assert clock.sessions.log_in(clock.tokens[0]) is None
    assert len(set(clock.tokens)) == 2
    assert clock.log_in() != cookie


def test_what_is_no_token_logs_nobody_in() -> None:
    """Nor does it use up the one that is."""
    clock = Clock()
    for token in ("", "x", clock.tokens[0][:-1], clock.tokens[0] + "x", "\udcff\n"):
        assert clock.sessions.log_in(token) is None
    assert not clock.sessions.is_open("")
    assert len(clock.tokens) == 1


def test_a_session_ends() -> None:
    """By its age, and when it is logged out; others go on."""
    clock = Clock()
    first, second = clock.log_in(), clock.log_in()
    clock.sessions.log_out(first)
    assert (clock.sessions.is_open(first), clock.sessions.is_open(second)) == (False, True)
    clock.now += SESSION_TIME
    assert not clock.sessions.is_open(second)


def test_sessions_are_bounded() -> None:
    """One more than there may be ends the oldest."""
    clock = Clock()
    cookies = [clock.log_in() for _ in range(SESSIONS + 1)]
    assert [clock.sessions.is_open(cookie) for cookie in cookies] == [False, *[True] * SESSIONS]
