"""Whether anybody can run what a command line asks for."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.cli.run.who_can_run import MOST_SLOTS, AtOnce, check_own, fit
from penstock.client.records import WorkerInfo
from penstock.errors import ConfigError


def asked(**options: Any) -> Any:
    """A Work that asks for this."""
    return SimpleNamespace(
        **{"user": "", "needs": (), "worker": None, "limit": None, "cwd": None, "is_command": True} | options
    )


def pipeline(*users: tuple[str, ...]) -> Any:
    """With a worker of three slots for each."""
    workers = [
        WorkerInfo(
            id="", name=f"w{n}", host="h", pid=n, slots=3, jobs=0, done=0, draining=False, python="3", users=names
        )
        for n, names in enumerate(users)
    ]
    return SimpleNamespace(workers=lambda: workers)


@pytest.mark.parametrize("what", [{"user": "bob"}, {"needs": ("gpu",)}, {"worker": "gpu3"}])
def test_nobody_else_will_ever_come_to_a_pipeline_of_its_own(what: dict[str, Any]) -> None:
    """So it is said at once, with what to do; its own worker and this host are there."""
    with pytest.raises(ConfigError, match="running pipeline"):
        check_own(asked(**what))
    check_own(asked(worker=socket.gethostname()))
    check_own(asked(worker="local"))


def test_a_folder_that_is_not_here_is_nowhere_on_this_machine() -> None:
    """Elsewhere it may be: there its job fails with that cause."""
    with pytest.raises(ConfigError, match="--cwd /nowhere: there is no such folder"):
        check_own(asked(cwd="/nowhere"))
    check_own(asked(cwd="/"))
    fit(pipeline(()), asked(cwd="/nowhere"), None)


def test_a_user_that_nobody_allows_is_refused() -> None:
    """Unless no worker is connected yet, or one of them allows it."""
    with pytest.raises(ConfigError, match="--user bob: none of the connected workers allows it"):
        fit(pipeline((), ("alice",)), asked(user="bob"), None)
    fit(pipeline((), ("alice", "bob")), asked(user="bob"), None)
    fit(pipeline(), asked(user="bob"), None)


def test_jobs_at_once_are_reckoned_with_the_slots_of_all_workers() -> None:
    """And are the limit of the batch."""
    work = asked()
    fit(pipeline((), ()), work, AtOnce("50%"))
    assert work.limit == 3
    fit(pipeline((), ()), work, AtOnce("0"))
    assert work.limit is None


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
