"""A slot's own descriptors, and whether they still are what they were."""

from __future__ import annotations

import os
import resource

import pytest

from penstock.slot.own_files import ROOM, UPPER_END, OwnFiles, move_up


@pytest.mark.parametrize("limit", [UPPER_END, 200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]])
def test_a_file_moves_out_of_the_way_of_jobs(limit: int) -> None:
    """As far up as may be, below what select(2) takes, and no program inherits it; its low number is free again."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(low, True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        high = move_up(low)
        assert (high >= min(limit, UPPER_END) - ROOM, high < UPPER_END, os.get_inheritable(high)) == (True, True, False)
        again = os.open(os.devnull, os.O_RDONLY)
        assert again == low
        os.close(again)
        os.close(high)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_is_closed_or_replaced_is_missed(place: int, replaced: bool) -> None:
    """Also by another file under the same number."""
    pipes = os.pipe()
    files = OwnFiles(*pipes)
    assert (files.has_first(), files.are_intact()) == (True, True)
    if replaced:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, pipes[place])
        os.close(null)
    else:
        os.close(pipes[place])
    assert (files.has_first(), files.are_intact()) == (place != 0, False)
    for fd in pipes if replaced else (pipes[1 - place],):
        os.close(fd)
