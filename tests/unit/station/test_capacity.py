"""How many slots a host has, and room for those that it is asked for."""

from __future__ import annotations

import os
import re
import resource

import pytest

from penstock.errors import ConfigError
from penstock.station import capacity
from penstock.station.capacity import check_slots, default_slots, make_room


def test_as_many_as_fit_are_refused_by_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The container's if it has less than the host, and the error says how many would do; so many are the default, at
    most."""
    limits = [100_000_000]
    monkeypatch.setattr(capacity, "memory_limit", lambda: limits[0])
    with pytest.raises(ConfigError, match=r"at most ([0-9,]+)") as caught:
        check_slots(1_000_000)
    most = int(re.findall(r"at most ([0-9,]+)", str(caught.value))[0])
    check_slots(most)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(200))
    assert default_slots() == most
    with pytest.raises(ConfigError):
        check_slots(most + 1)
    limits[0] = 30_000_000
    with pytest.raises(ConfigError, match="gives 30 MB: a worker needs more"):
        check_slots(1)
    monkeypatch.setattr(capacity, "memory_limit", lambda: None)
    check_slots(most + 1)
    with pytest.raises(ConfigError):
        check_slots(os.sysconf("SC_PHYS_PAGES"))  # a page each


def test_open_files_are_asked_for_up_to_the_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it there is no room, whatever the memory."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    make_room(150)
    assert asked == [(1000, 1000)]
    with pytest.raises(ConfigError, match=r"ulimit -Hn.*at most 150"):
        check_slots(151)
    check_slots(150)


def test_slots_are_no_more_than_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of processor time, in whole cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    for cores, slots in ((3, 3), (20, 8), (None, 8)):
        monkeypatch.setattr(capacity, "cpu_limit", lambda cores=cores: cores)
        assert default_slots() == slots


def test_there_is_at_least_one_slot() -> None:
    """Whatever the machine's limits say."""
    assert default_slots() >= 1


def test_slots_are_no_more_than_slurm_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the machine's limits is least; what is no number is none."""
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    cores = default_slots()
    for said, slots in (("1", 1), ("100000", cores), ("many", cores), ("", cores)):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", said)
        assert default_slots() == slots
