"""How many jobs have ended how, and what follows from it: when ``--halt`` is due, and the exit code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from penstock.errors import ConfigError
from penstock.exit_codes import FAILURE, SUCCESS

if TYPE_CHECKING:
    from penstock import Outcome
    from penstock.cli.run.summary import Summary

FORM = re.compile(r"(soon|now),(fail|success|done)=(\d+)(%?)")
SHORT = {"0": "never", "1": "soon,fail=1", "2": "now,fail=1", "-1": "soon,success=1", "-2": "now,success=1"}
"""As GNU parallel has them."""
PERCENT = re.compile(r"\d+%")


class Counts(NamedTuple):
    """How many jobs ended how."""

    failed: int = 0
    succeeded: int = 0

    def of(self, kind: str) -> int:
        """Of those that `fail`, `success` or `done` means."""
        return {"fail": self.failed, "success": self.succeeded, "done": self.failed + self.succeeded}[kind]

    def plus(self, *, failed: bool) -> Counts:
        """The counts with one more job that has ended."""
        return Counts(self.failed + failed, self.succeeded + (not failed))


class Halt(NamedTuple):
    """After so many jobs that ended as `kind` says, start no more; `now`: also end those that run."""

    now: bool
    kind: str
    jobs: float
    percent: bool = False
    """`jobs` are so many of a hundred: `among` says of how many."""
    before: Counts = Counts()
    """What an earlier run of the same has done."""

    @classmethod
    def parse(cls, text: str) -> Halt | None:
        """``soon,fail=1``; None: never. ConfigError: it is written otherwise."""
        long = SHORT.get(text, f"soon,fail={text}" if PERCENT.fullmatch(text) else text)
        if long == "never":
            return None
        match = FORM.fullmatch(long)
        if match is None:
            raise ConfigError(
                f"--halt {text}: write soon,fail=N or now,fail=N (also success=N, done=N, N% of the jobs), or never"
            )
        return cls(match[1] == "now", match[2], int(match[3]), bool(match[4]))

    def among(self, total: int) -> Halt:
        """The same of so many jobs."""
        return self._replace(jobs=total * self.jobs / 100, percent=False)

    def after(self, before: Counts) -> Halt:
        """The same in a run that goes on: what was done before counts as done, and what failed then has had its
        halt."""
        return self._replace(before=before._replace(failed=0) if self.kind == "fail" else before)

    def is_due(self, counts: Counts) -> bool:
        """Whether so many are enough; none is never."""
        now = counts.of(self.kind)
        return now > 0 and now + self.before.of(self.kind) >= self.jobs

    def said(self, counts: Counts) -> str:
        """What people are told when it is due."""
        how = "running ones are ended" if self.now else "running ones finish"
        return f"--halt: {counts.failed} failed and {counts.succeeded} succeeded, no more jobs are started and {how}"


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
