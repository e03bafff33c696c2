"""What a job forks goes on with the job's code and is never the slot: it speaks to nobody and starts no other job.

The child has the slot's whole memory, in the middle of a piece, perhaps in C code that draws one job after the other.
So it is disarmed where it begins: the page becomes a copy of its own in which every limit is reached, the stream and
the pipes' reading ends (the job's output is the parent's to collect) lead to nothing. Then whatever way it
takes back to the slot's code, its end is at the end of it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from penstock.job import current_job
from penstock.job.originals import end_process, os, traceback
from penstock.slot.job_report import Report
from penstock.slot.protocol import LIMIT_CELLS, LIMITS, AgentStream, Page

FAILED = 1
"""Exit code of a child whose job raised."""


class Forks:
    """Of a slot's process, from its making on; `now` tells what it draws jobs from and where it reports them."""

    def __init__(
        self, page: Page, agent: AgentStream, readers: Iterable[int], now: Callable[[], tuple[Iterable[Any], Report]]
    ) -> None:
        self._page, self._agent, self._readers, self._now = page, agent, readers, now
        self.is_child: bool = False
        """Whether this is a process that a job has forked."""
        os.register_at_fork(after_in_child=self._disarm)

    def _disarm(self) -> None:
        """Called in the child before any code of the job's goes on."""
        self.is_child = True
        current_job.here.forks += 1
        self._page.detach()
        for cell in range(LIMITS, LIMITS + LIMIT_CELLS):
            self._page.cells[cell] = -1
        agent = self._agent.close()
        null = os.open(os.devnull, os.O_RDONLY)
        for reader in (agent, *self._readers):
            os.dup2(null, reader, inheritable=False)
        os.close(null)
        coming, report = self._now()
        for _ in coming:  # C code may be drawing from it
            pass
        report.fail = _fail  # type: ignore[method-assign, assignment]

    def leave_if_child(self) -> None:
        """Before anything is said or begun after user code: a child does neither."""
        if self.is_child:
            leave()


def _fail(start: int, stop: int, error: BaseException, *others: object) -> NoReturn:  # noqa: ARG001 - as Report's own
    leave(error)


def leave(error: BaseException | None = None) -> NoReturn:
    """The job's code has come to its end in the child: as any process of Python ends, without what was registered for
    the slot's end."""
    code = 0 if error is None else FAILED
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        code = error.code or 0
    elif error is not None:
        with contextlib.suppress(Exception):
            traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    end_process(code & 0xFF)
