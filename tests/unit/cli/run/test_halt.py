"""When a run ends early."""

from __future__ import annotations

import pytest

from penstock.cli.run.halt import Counts, Halt
from penstock.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "halt"),
    [
        ("soon,done=30%", Halt(now=False, kind="done", jobs=30, percent=True)),
        ("20%", Halt(now=False, kind="fail", jobs=20, percent=True)),
        ("-2", Halt(now=True, kind="success", jobs=1)),
        ("soon,fail=0", Halt(now=False, kind="fail", jobs=0)),
        ("soon,fail=3", Halt(now=False, kind="fail", jobs=3)),
        ("now,success=1", Halt(now=True, kind="success", jobs=1)),
        ("2", Halt(now=True, kind="fail", jobs=1)),
        ("never", None),
        ("0", None),
    ],
)
def test_forms_of_gnu_parallel(text: str, halt: Halt | None) -> None:
    """When, why, how many; the old numbers too."""
    assert Halt.parse(text) == halt


@pytest.mark.parametrize("text", ["soon", "fail=1", "soon,fail=-1", "soon,fail=1.5", "later,fail=1", "%", ""])
def test_other_forms_are_refused(text: str) -> None:
    """With the forms there are."""
    with pytest.raises(ConfigError, match=r"write soon,fail=N"):
        Halt.parse(text)


def test_jobs_are_counted_by_how_they_ended() -> None:
    """Failures, successes, or both."""
    assert [Halt(False, kind, 3).is_due(Counts(3, 2)) for kind in ("fail", "success", "done")] == [True, False, True]


@pytest.mark.parametrize("jobs", [0, 1])
def test_none_is_never_enough(jobs: int) -> None:
    """0 failures are reached by the first one, as in GNU parallel."""
    halt = Halt(False, "fail", jobs)
    assert [halt.is_due(Counts(failed, 5)) for failed in (0, 1)] == [False, True]


def test_a_share_is_reckoned_from_all_jobs() -> None:
    """30 % of 6 are 1.8: two."""
    halt = Halt(False, "fail", 30, percent=True).among(6)
    assert [halt.is_due(Counts(failed)) for failed in (1, 2)] == [False, True]


def test_what_was_done_before_counts_but_halts_nothing_by_itself() -> None:
    """A run that goes on halts after a job of its own; an earlier failure is no failure of this run."""
    before = Counts(failed=2, succeeded=3)
    done, fail = (Halt(False, kind, 5).after(before) for kind in ("done", "fail"))
    assert [done.is_due(Counts(0, jobs)) for jobs in (0, 1)] == [False, True]
    assert not fail.is_due(Counts(4, 0))
