"""The options of ``penstock run`` that say how and where, not what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from penstock.cli.run.job_inputs import Tagging, tag_of, tagging
from penstock.cli.run.joblog import STDOUT
from penstock.cli.run.joblog_resume import Logged
from penstock.cli.run.pacing import Pacing
from penstock.cli.run.who_can_run import AtOnce

if TYPE_CHECKING:
    from penstock.cli.run.work import Work


class RunOptions(NamedTuple):
    """How and where the jobs of a run are run, as the options say."""

    url: str | None
    data: Path | None
    at_once: AtOnce | None
    keep_order: bool
    live: bool
    ungroup: bool
    tag: bool
    tagstring: str | None
    verbose: int
    verbose_stderr: bool
    dry_run: bool
    halt: str | None
    delay: float | None
    load: float | None
    memfree: int | None
    joblog: str | None
    results: str | None
    resume: bool
    resume_failed: bool
    retry_failed: bool
    grace: float
    as_json: bool
    keep_output: str

    def check(self, once: str | None) -> None:
        """UsageError: options that contradict each other."""
        if self.shows_lines and self.as_json:
            raise click.UsageError("--lb and --json exclude each other: a JSON record holds all that its job printed")
        if self.shows_lines and once:
            raise click.UsageError("--lb and --once exclude each other: jobs of --once may have run before")
        if self.url and self.data:
            raise click.UsageError(
                f"--data is for a pipeline that run starts itself: the one at {self.url} has its own data"
            )
        if self.as_json and (self.tag or self.tagstring or self.verbose or self.verbose_stderr):
            raise click.UsageError(
                "--json excludes --tag, --tagstring, -v and -t: a JSON record says which job it is of"
            )
        if self.retry_failed and (self.resume or self.resume_failed):
            raise click.UsageError(
                "--retry-failed and --resume exclude each other: one reads the joblog, the other the input"
            )
        if (self.retry_failed or (self.resumes and not self.remembers)) and self.joblog in {None, *STDOUT}:
            remembers = "" if self.retry_failed else ", the same --data DIR, or the --url of a running pipeline"
            raise click.UsageError(
                f"{'--retry-failed' if self.retry_failed else '--resume'} needs a record of the earlier run: its"
                f" --joblog FILE{remembers}"
            )
        self.pacing.check(self.url)

    @property
    def shows_lines(self) -> bool:
        """Whether they are shown while jobs run."""
        return self.live or self.ungroup

    def tagging(self, work: Work) -> Tagging | None:
        """What lines begin with, if with anything. ConfigError: what nobody knows before the job has ended."""
        if self.ungroup:
            return None
        return tagging(work, self.tagstring) if self.tagstring is not None else tag_of if self.tag else None

    @property
    def resumes(self) -> bool:
        """Whether earlier runs count."""
        return self.resume or self.resume_failed

    @property
    def remembers(self) -> bool:
        """Whether the pipeline itself knows of earlier runs."""
        return bool(self.url or self.data)

    @property
    def pacing(self) -> Pacing:
        """What keeps jobs back."""
        return Pacing(self.delay, self.load, self.memfree, halts=self.halt is not None)

    def logged(self) -> Logged | None:
        """What the joblog of an earlier run tells, where that is asked for. ConfigError: it is none."""
        if self.joblog is None or not (self.retry_failed or (self.resumes and not self.remembers)):
            return None
        return Logged(self.joblog.removeprefix("+"), failed_too=self.resume_failed or self.retry_failed)
