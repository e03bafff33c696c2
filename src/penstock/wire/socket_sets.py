"""The six sockets of a pipeline as four sets, one for each kind of process.

========== ===================== =====================================================
set        binds                 connects
========== ===================== =====================================================
ventilator desk report jobs      (stable parts bind)
           control
sink       outcomes results      report, control
worker                           report, control, jobs, outcomes
client                           desk, results
========== ===================== =====================================================
"""

from __future__ import annotations

import contextlib
import socket

from penstock.url import endpoints
from penstock.wire.guard import OPEN, Security
from penstock.wire.sockets import Links

WORKER_SOCKETS = ("control", "report", "jobs", "outcomes")
"""All that a worker connects."""
WAKES_BYTES = 4096
"""Wake-ups seen at once."""


def ventilator_links(url: str, security: Security = OPEN) -> Links:
    """The ventilator's sockets: desk, report, jobs (monitored), control. ConfigError: an address cannot be had, or the
    keys do not keep strangers out."""
    at, links = endpoints(url), Links(security)
    with links.guarded():
        links.bind("desk", at.desk)
        links.bind("report", at.report)
        links.bind("jobs", at.jobs, monitored=True)
        links.bind("control", at.control)
    return links


def sink_links(url: str, sink: bytes, security: Security = OPEN) -> Links:
    """The sink's sockets: outcomes, results, report, control. ConfigError as in `ventilator_links`."""
    at, links = endpoints(url), Links(security)
    with links.guarded():
        links.bind("outcomes", at.outcomes)
        links.bind("results", at.results)
    links.connect("report", at.report)
    links.connect("control", at.control, subscribe=sink)
    return links


def worker_links(url: str, worker: bytes, security: Security = OPEN) -> Links:
    """A worker's sockets: report, jobs, outcomes (all three monitored), control."""
    at, links = endpoints(url), Links(security)
    links.connect("report", at.report, monitored=True)
    links.connect("jobs", at.jobs, monitored=True)
    links.connect("outcomes", at.outcomes, monitored=True)
    links.connect("control", at.control, subscribe=worker)
    return links


class ClientLinks(Links):
    """A client's sockets: desk and results (both monitored), and a way to wake its thread from others."""

    def __init__(self, url: str, security: Security = OPEN) -> None:
        at = endpoints(url)
        super().__init__(security)
        self.connect("desk", at.desk, monitored=True)
        self.connect("results", at.results, monitored=True)
        self._results = at.results
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        self.watch(self._woken.fileno())

    def add_results(self, name: str) -> None:
        """One more results connection."""
        self.connect(name, self._results, monitored=True)

    def wake(self) -> None:
        """From any thread: let `poll` return."""
        with contextlib.suppress(BlockingIOError):  # it is full of them
            self._wake.send(b"w")

    def woken(self) -> None:
        """The wake-up was seen."""
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(WAKES_BYTES)

    def close(self) -> None:
        """Close all sockets of the set."""
        super().close()
        self._wake.close()
        self._woken.close()
