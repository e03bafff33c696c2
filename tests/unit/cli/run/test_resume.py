"""Which jobs earlier batches have done, by what they are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from penstock.cli.run.resume import Resumed, digest_of
from penstock.client.records import Outcome
from penstock.client.results import FINAL_STATES
from penstock.job.spec import JobState

S, F, C = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED


class Earlier:
    """A batch that is read: its jobs' arguments and how they stand (None: still open)."""

    live = None

    def __init__(self, **jobs: JobState | None) -> None:
        self.jobs = list(jobs.items())
        self.cancelled: list[bool] = []

    def ended(self) -> Iterator[tuple[int, int, JobState]]:
        """As they were recorded: the last one first here."""
        for index, (_, state) in reversed(list(enumerate(self.jobs))):
            if state is not None:
                yield index, index + 1, state

    def digests(self) -> Iterator[bytes]:
        """In the order of the jobs."""
        return (digest_of([name[:1].encode()]) for name, _ in self.jobs)

    def follow(self, after: int = 0) -> Iterator[Outcome]:
        """In the order of recording, which is the reverse one here."""
        outcomes = reversed(list(self.outcomes()))
        return (outcome for outcome in outcomes if outcome.position > after)

    def outcomes(self) -> Iterator[Outcome]:
        """In the order of the jobs."""
        for index, (name, state) in enumerate(self.jobs):
            position = len(self.jobs) - index
            yield Outcome(job_id=name, index=index, position=position, state=FINAL_STATES[state or S])

    def cancel(self, *, running: bool) -> None:
        """Somebody had enough."""
        self.cancelled.append(running)


def resumed(*batches: Earlier, failed_too: bool = False) -> Resumed:
    some: Any = list(batches)
    return Resumed(some, failed_too=failed_too)


def missing(one: Resumed, letters: str) -> str:
    items = iter([letter.encode()] for letter in letters)
    return "".join(item[0].decode() for item in one.missing(items))


@pytest.mark.parametrize(("failed_too", "left"), [(False, "cz"), (True, "bcz")])
def test_what_ended_or_is_open_is_not_submitted_again(failed_too: bool, left: str) -> None:
    """Cancelled jobs and new ones are missing, failed ones if that is asked for; the order of lines is free."""
    batch = Earlier(a=S, b=F, c=C, d=None)
    one = resumed(batch, failed_too=failed_too)
    assert missing(one, "dzbca"[::-1]) == "".join(letter for letter in "acbzd" if letter in left)
    assert one.found == 5 - len(left)


def test_what_had_ended_is_told_from_what_is_open() -> None:
    """Only what ends now can halt a run."""
    one = resumed(Earlier(a=S, b=F, c=C, d=None))
    missing(one, "abcd")
    wanted = one.wanted(None, own=True)
    assert [wanted.is_earlier(number) for number in range(4)] == [True, True, False, False]


def test_equal_lines_are_counted() -> None:
    """Two are done and three are wanted: one is missing."""
    assert missing(resumed(Earlier(a1=S, a2=S)), "aaa") == "a"
    assert missing(resumed(Earlier(a1=S), Earlier(a1=C, a2=S)), "aaa") == "a"


def test_success_is_taken_before_failure_and_newest_first() -> None:
    """What was tried again and succeeded counts as that."""
    newest, oldest = Earlier(a=F, b=F), Earlier(a=S, b=F)
    one = resumed(newest, oldest)
    assert missing(one, "ab") == ""
    wanted = one.wanted(None, own=True)
    assert {(number, outcome.job_id, outcome.state) for number, outcome in wanted.arriving()} == {
        (0, "a", S),
        (1, "b", F),
    }
    assert [part._numbers for part in wanted._parts] == [{1: 1}, {0: 0}]


def test_all_are_shown_in_the_order_of_the_input() -> None:
    """Jobs of several batches and new ones, each once, numbered as they are wanted now."""
    one = resumed(Earlier(a=S, b=S, x=S), Earlier(c=S))
    assert missing(one, "dcebab") == "deb"
    new: Any = Earlier(d=S, e=S, b=S)
    in_order = list(one.wanted(new, own=True).in_order())
    assert [(number, outcome.job_id) for number, outcome in in_order] == list(enumerate("dcebab"))
    arriving = one.wanted(new, own=True).arriving()
    assert sorted((number, outcome.job_id) for number, outcome in arriving) == list(enumerate("dcebab"))


def test_others_batches_are_not_cancelled() -> None:
    """On a running pipeline only the new jobs are this user's to end."""
    earlier, new = Earlier(a=None), Earlier(b=None)
    one = resumed(earlier)
    missing(one, "ab")
    batch: Any = new
    one.wanted(batch, own=False).cancel(running=True)
    assert (earlier.cancelled, new.cancelled) == ([], [True])


def test_digests_tell_arguments_apart() -> None:
    """Where one argument ends counts, and so does the type; the order of an object's keys does not."""
    items: list[Any] = [[b"a", b"b"], [b"ab"], [b"a b"], "ab", 1, "1", [1], None, {"a": 1}, 2**80, "\udcff"]
    assert len({digest_of(item) for item in items}) == len(items)
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
