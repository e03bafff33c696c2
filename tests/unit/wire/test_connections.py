"""Counting connections from events that do not say all."""

from __future__ import annotations

from penstock.wire.connections import Connections


def test_who_shook_hands_is_counted() -> None:
    """One comes, shakes hands and goes."""
    door = Connections(bound=True)
    door.accepted(7)
    assert (door.open, door.shaken) == (1, 0)
    door.has_shaken()
    assert (door.open, door.shaken) == (1, 1)
    door.closed(7)
    assert (door.open, door.shaken) == (0, 0)
    assert door.take_events() == [True, False]
    assert door.take_events() == []


def test_strangers_do_not_count() -> None:
    """Who leaves without a handshake takes nobody else's place in the count."""
    door = Connections(bound=True)
    door.accepted(7)
    door.has_shaken()
    for fd in (8, 9, 8):
        door.accepted(fd)
        door.closed(fd)
    assert (door.open, door.shaken) == (1, 1)


def test_the_count_is_right_again_when_nobody_is_in_between() -> None:
    """While a stranger hesitates, one that shook hands may go uncounted; afterwards nothing of that is left."""
    door = Connections(bound=True)
    door.accepted(7)
    door.accepted(8)
    door.has_shaken()
    door.closed(7)
    assert door.shaken <= 1
    door.closed(8)
    assert (door.open, door.shaken) == (0, 0)
    door.accepted(9)
    door.accepted(10)
    door.has_shaken()
    door.closed(10)
    assert (door.open, door.shaken) == (1, 1)


def test_a_socket_that_connects_has_one_connection() -> None:
    """Its monitor names no descriptor when it comes."""
    own = Connections(bound=False)
    own.has_shaken()
    own.closed(31)
    own.has_shaken()
    assert own.shaken == 1
    assert own.take_events() == [True, False, True]
