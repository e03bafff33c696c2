"""The last line of a run."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.run.summary import Summary, shortened, shown_by
from penstock.client.records import FinalState, Outcome

GOOD: FinalState = "succeeded"
BAD: FinalState = "failed"
LATE: FinalState = "timed_out"
DEAD: FinalState = "dead"
OFF: FinalState = "cancelled"


class Jobs:
    """What was handed in."""

    is_cut = False

    def __init__(self, total: int | None, earlier: int = 0) -> None:
        self.total = total
        self.earlier = earlier

    def count(self) -> int | None:
        """How many they are."""
        return self.total

    def is_earlier(self, number: int) -> bool:
        """The first ones are."""
        return number < self.earlier


def line(states: list[FinalState], jobs: Any, stopped: int = 0, **hints: Any) -> str:
    summary = Summary(**hints)
    summary.begin(jobs)
    for number, state in enumerate(states):
        outcome = Outcome(job_id="", index=number, position=1, state=state, cause="exit code 1")
        summary.count(number, outcome, stopped=number >= len(states) - stopped)
    return summary.text()


@pytest.mark.parametrize(
    ("states", "total", "stopped", "text"),
    [
        ([GOOD], 1, 0, "1 job succeeded"),
        ([GOOD] * 2, 2, 0, "2 jobs succeeded"),
        ([GOOD, BAD], 2, 0, "1 succeeded, 1 failed"),
        ([BAD, LATE, DEAD, DEAD], 4, 0, "0 succeeded, 4 failed (1 ran too long, 2 died)"),
        ([GOOD, OFF], 2, 0, "1 succeeded, 1 cancelled"),
        ([GOOD, OFF, OFF], 9, 2, "1 succeeded, 8 left"),
        ([GOOD, BAD, OFF], None, 1, "1 succeeded, 1 failed, 1 left"),
    ],
)
def test_its_numbers_add_up(states: list[FinalState], total: int | None, stopped: int, text: str) -> None:
    """What the user has stopped is left, what somebody else has cancelled has not failed, one job is not "1 jobs"."""
    assert line(states, Jobs(total), stopped) == text


def test_it_says_how_to_go_on() -> None:
    """Each hint where there is something it is about."""
    hints: Any = {"failed": "LOOK", "again": "AGAIN", "left": "ON"}
    assert line([GOOD], Jobs(1), **hints) == "1 job succeeded"
    assert line([GOOD, BAD], Jobs(2), **hints) == "1 succeeded, 1 failed (LOOK); AGAIN"
    assert line([GOOD], Jobs(3), **hints) == "1 succeeded, 2 left; ON"
    cut: Any = Jobs(3)
    cut.is_cut = True
    assert line([GOOD], cut, **hints) == "1 succeeded, 2 left and the rest of the input; ON"


def test_where_nothing_is_kept_failed_jobs_are_named() -> None:
    """The first few, and how to see all of them, if there are more."""
    hints: Any = {"failed": "LOOK", "names": lambda number: b"cmd %d\n" % number}
    assert line([GOOD, BAD], Jobs(2), **hints) == "1 succeeded, 1 failed (cmd 1\\n (exit code 1))"
    many = line([BAD] * 5, Jobs(5), **hints)
    assert many.count("cmd") == 3
    assert many.endswith("and 2 more (LOOK))")
    assert len(shortened(b"x" * 1000)) < 100


def test_jobs_of_an_earlier_run_are_said_to_be() -> None:
    """They succeeded, and not now."""
    assert line([GOOD] * 3, Jobs(3, earlier=2)) == "3 jobs succeeded (2 of them before)"


def test_the_command_that_shows_more_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the address, unless it is where the command would look anyway."""
    monkeypatch.setenv("PENSTOCK_URL", "tcp://h:1")
    assert shown_by("results --failed", "tcp://h:1", "ab") == "penstock results --failed ab"
    assert shown_by("results --failed", "ipc:///a b", "ab") == "penstock results --failed --url 'ipc:///a b' ab"


@pytest.mark.parametrize(("error", "said"), [(None, 1), (KeyboardInterrupt(), 1), (BrokenPipeError(), 0)])
def test_it_is_said_however_the_run_ends(
    error: BaseException | None, said: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless nobody reads any more: `| head` ends quietly. A run that handed in nothing has nothing to say."""
    jobs: Any = Jobs(2)
    with Summary() as summary:
        summary.begin(jobs)
        summary.__exit__(None if error is None else type(error), error, None)
        assert capsys.readouterr().err.count("2 left") == said
        summary.begin(Jobs(0))  # type: ignore[arg-type]  # it has all that is needed
    with Summary():
        pass
    assert capsys.readouterr().err == "penstock: 0 jobs succeeded\n"
