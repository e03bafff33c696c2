"""When a run ends early."""

from __future__ import annotations

import pytest

from penstock.cli.halt import Halt
from penstock.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "halt"),
    [
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


@pytest.mark.parametrize("text", ["soon", "fail=1", "soon,fail=0", "soon,fail=20%", "later,fail=1", ""])
def test_other_forms_are_refused(text: str) -> None:
    """With the forms there are."""
    with pytest.raises(ConfigError, match=r"write soon,fail=N"):
        Halt.parse(text)


def test_jobs_are_counted_by_how_they_ended() -> None:
    """Failures, successes, or both."""
    assert [Halt(False, kind, 3).is_due(3, 2) for kind in ("fail", "success", "done")] == [True, False, True]
