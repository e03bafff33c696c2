"""Who may do what: roles of keys, the sockets each role may enter, and whom a message came from.

========= ============================== ====================================================
role      enters                         may
========= ============================== ====================================================
work      report, jobs, control,         say what a worker with its name says, and hand in
          outcomes                       outcomes of what it was given
submit    desk, results                  submit, read everything, end, pause and delete its own
observe   desk, results                  read everything
admin     desk, results                  all that clients can: also end what others submitted, back up
sink      report, control                say what the sink says (the sink's own key)
========= ============================== ====================================================

The ventilator's own key enters nothing but its own self-test.
"""

from __future__ import annotations

import enum

import msgspec


class Role(enum.StrEnum):
    """What a key is for."""

    VENTILATOR = "ventilator"
    SINK = "sink"
    WORK = "work"
    SUBMIT = "submit"
    OBSERVE = "observe"
    ADMIN = "admin"


CLIENTS = frozenset({Role.SUBMIT, Role.OBSERVE, Role.ADMIN})
GIVEN = (Role.WORK, Role.SUBMIT, Role.OBSERVE, Role.ADMIN)
"""Roles of the keys that `penstock keys new` makes."""

DOORS: dict[str, frozenset[Role]] = {
    "desk": CLIENTS,
    "report": frozenset({Role.WORK, Role.SINK}),
    "jobs": frozenset({Role.WORK}),
    "outcomes": frozenset({Role.WORK}),
    "control": frozenset({Role.WORK, Role.SINK}),
    "results": CLIENTS,
}
"""Which roles each socket lets in; the socket's name is its ZAP domain."""

OWNER_OF_SOCKET = {
    "desk": Role.VENTILATOR,
    "report": Role.VENTILATOR,
    "jobs": Role.VENTILATOR,
    "control": Role.VENTILATOR,
    "outcomes": Role.SINK,
    "results": Role.SINK,
}
"""Whose server key each socket has."""


class Peer(msgspec.Struct, frozen=True):
    """The holder of a key, as the one who receives its messages knows it."""

    name: str
    role: Role
    public: str = ""


EVERYONE = Peer("", Role.ADMIN)
"""Whoever reaches a socket that asks for no key."""
