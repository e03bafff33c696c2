"""How many jobs have ended how, and what follows from it: when ``--halt`` is due, and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.cli.run.halt import Counts, Halt
from penstock.exit_codes import FAILURE, SUCCESS

if TYPE_CHECKING:
    from penstock import Outcome
    from penstock.cli.run.summary import Summary


class Tally:
    """Counts each job that ends; `halt` says when it is enough, and `summary` is told of each."""

    def __init__(self, halt: Halt | None = None, summary: Summary | None = None) -> None:
        self.stopping: bool = False
        """No more jobs are started: `halt` was due, or the user has had enough."""
        self.counts: Counts = Counts()
        """Of what has ended while this counted."""
        self._halt = halt
        self._summary = summary
        self._failed = 0

    def count(self, number: int, outcome: Outcome, *, earlier: bool) -> Halt | None:
        """One more job has ended, or had `earlier`, before anything was asked for. Returns the halt that is due now."""
        failed = outcome.state != "succeeded"
        stopped = failed and self.is_stopped(outcome)
        if self._summary is not None:
            self._summary.count(number, outcome, stopped=stopped)
        if stopped:
            return None
        self._failed += failed
        if self._halt is None or self.stopping:
            return None
        if earlier:
            self._halt = self._halt.after(self._halt.before.plus(failed=failed))
            return None
        self.counts = self.counts.plus(failed=failed)
        self.stopping = self._halt.is_due(self.counts)
        return self._halt if self.stopping else None

    def is_stopped(self, outcome: Outcome) -> bool:
        """Whether a job ended because no more are wanted; there may be a million of them."""
        return self.stopping and outcome.state == "cancelled"

    @property
    def waits_for_halt(self) -> bool:
        """Whether jobs have to be counted as they end, in whatever order they are shown."""
        return self._halt is not None

    @property
    def exit_code(self) -> int:
        """Of a run that came to its end. So many successes as `halt` asked for are a success."""
        is_enough = self.stopping and self._halt is not None and self._halt.kind == "success"
        return FAILURE if self._failed and not is_enough else SUCCESS
