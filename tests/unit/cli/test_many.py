"""Acting on many from the command line: what is told before, meanwhile and after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pytest

from penstock.cli.many import Words, act
from penstock.errors import NoLongerKept

WORDS = Words("will run again", "Retry them?", "will run again", "nothing to retry")


class Played:
    """Seven jobs of two batches, acted on in two steps, behind the first of which something may happen."""

    def __init__(self, then: BaseException | None = None, jobs: int = 7, lost: int = 0) -> None:
        self.jobs, self.batches, self.done, self.lost, self.why = jobs, 2, 0, lost, "they are gone"
        self._then = then

    def count(self) -> Iterator[None]:
        yield

    def act(self) -> Iterator[None]:
        self.done = 4
        yield
        if self._then is not None:
            raise self._then
        self.done = 7 - self.lost
        yield


def test_it_asks_before_and_says_what_was_done(capfd: pytest.CaptureFixture[str]) -> None:
    """Where nobody can answer nothing is done, and where nothing fits nobody is asked."""
    played: Any = Played()
    with pytest.raises(click.UsageError, match=r"7 jobs of 2 batches will run again\. Retry them\? .* say --yes"):
        act(played, WORDS, yes=False)
    assert played.done == 0
    act(played, WORDS, yes=True)
    nothing: Any = Played(jobs=0)
    act(nothing, WORDS, yes=False)
    assert capfd.readouterr().err == "penstock: 7 jobs will run again\npenstock: nothing to retry\n"


def test_who_interrupts_it_reads_how_far_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    """And how to go on."""
    played: Any = Played(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        act(played, WORDS, yes=True)
    said = "penstock: at least 4 jobs will run again: the same command goes on with what is left\n"
    assert capfd.readouterr().err == said


def test_what_could_not_be_done_is_an_error_in_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    """With the reason; the others are done."""
    played: Any = Played(lost=2)
    with pytest.raises(NoLongerKept, match="2 jobs cannot run again, the first because they are gone"):
        act(played, WORDS, yes=True)
    assert capfd.readouterr().err == "penstock: 5 jobs will run again\n"
