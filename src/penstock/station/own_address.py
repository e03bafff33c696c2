"""The names that a station listens at: what they are here, before anything is opened.

Promises:

1. A name without an address is waited for, with a line in the log: at boot DNS is often late. After NAME_TIME the
   station ends with an exit code of its own, for which a service manager tries again.
2. A name that only this machine reaches, although others were meant to, is told of.
"""

from __future__ import annotations

import logging
import socket
import time

from penstock.errors import NoAddress
from penstock.station.log_events import emit
from penstock.wire.bind_address import addresses_of, is_interface, is_loopback, is_numeric

NAME_TIME = 60.0
"""Seconds until a name must have an address: DHCP and DNS of a machine that boots."""
LOOK_INTERVAL = 1.0


def wait_for_address(endpoint: str, logger: logging.Logger) -> None:
    """Return when the host of an endpoint that is to be bound has an address. Raises NoAddress after NAME_TIME."""
    if host := _name(endpoint):
        _found(host, logger)


def note_local_name(endpoint: str, logger: logging.Logger) -> None:
    """Say so, if others are to come to a name that only this machine reaches."""
    host = _name(endpoint)
    if host and is_own_name(host) and all(map(is_loopback, addresses := addresses_of(host))):
        emit(logger, "local_name", {"name": host, "address": ", ".join(addresses)})


def _name(endpoint: str) -> str:
    """The name in an endpoint; empty: there is an address in it, or an interface, which needs none."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0] if endpoint.startswith("tcp://") else "*"
    return "" if is_numeric(host) or is_interface(host) else host


def is_own_name(host: str) -> bool:
    """Whether this is the name of this machine, with or without its domain."""
    own, asked = (name.rstrip(".").lower().partition(".")[0] for name in (socket.gethostname(), host))
    return own == asked != "localhost"


def _found(host: str, logger: logging.Logger) -> None:
    end, is_said = time.monotonic() + NAME_TIME, False
    while True:
        try:
            addresses_of(host)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
        else:
            return
        if time.monotonic() >= end:
            raise NoAddress(f"{host} has no address here ({why}): use another name, an address, or /etc/hosts")
        if not is_said:
            emit(logger, "no_address", {"name": host, "why": why})
            is_said = True
        time.sleep(LOOK_INTERVAL)
