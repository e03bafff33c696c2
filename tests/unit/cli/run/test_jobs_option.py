"""``-j``: how many jobs at once."""

from __future__ import annotations

import pytest

from penstock.cli.run.jobs_option import MOST_SLOTS, AtOnce
from penstock.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "jobs"),
    [("3", 3), ("0", None), ("50%", 4), ("1%", 1), ("150%", 12), ("+0", 8), ("+1", 9), ("-1", 7), ("-20", 1)],
)
def test_forms_of_gnu_parallel(text: str, jobs: int | None) -> None:
    """A number, no limit, a share of the slots there are, or some more or fewer, at least one."""
    assert AtOnce(text).of(8) == jobs


@pytest.mark.parametrize("text", ["", "x", "0%", "1.5", "+1%", "file", "--", "3 "])
def test_anything_else_is_refused(text: str) -> None:
    """In one line."""
    with pytest.raises(ConfigError, match=r"^-j "):
        AtOnce(text).of(8)


def test_a_share_of_nothing_cannot_be_reckoned() -> None:
    """While no worker is connected; a number can."""
    with pytest.raises(ConfigError, match="no worker is connected"):
        AtOnce("50%").of(0)
    assert AtOnce("5").of(0) == 5


class Input:
    """So many jobs."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def count_up_to(self, most: int) -> int:
        """As Work does."""
        return min(self.jobs, most)


def test_without_a_limit_there_is_a_slot_for_each_job() -> None:
    """Of a pipeline of its own, up to a bound."""
    few, many = Input(2), Input(10**6)
    assert AtOnce("0").slots(few) == 2  # type: ignore[arg-type]  # only this is asked of it
    assert AtOnce("0").slots(many) == MOST_SLOTS  # type: ignore[arg-type]
    assert AtOnce("3").slots(many) == 3  # type: ignore[arg-type]
