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
import os

from penstock.config import endpoints
from penstock.security import OPEN, Security
from penstock.sockets import Links


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
    """A worker's sockets: report, jobs (monitored), outcomes (monitored), control."""
    at, links = endpoints(url), Links(security)
    links.connect("report", at.report)
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
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._wake)

    def add_results(self, name: str) -> None:
        """One more results connection."""
        self.connect(name, self._results, monitored=True)

    def wake(self) -> None:
        """From any thread: let `poll` return."""
        os.eventfd_write(self._wake, 1)

    def woken(self) -> None:
        """The wake-up was seen."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def close(self) -> None:
        """Close everything."""
        super().close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1
