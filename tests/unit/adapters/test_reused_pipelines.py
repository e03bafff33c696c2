"""Which pipeline is given out again, over inline ones. That its processes go is in tests/contract/test_joblib.py."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from jobs.contract import tell, told
from penstock.adapters.reused_pipelines import Begin, end_all, reuse


@pytest.fixture(autouse=True)
def shelf() -> Iterator[None]:
    """Empty afterwards."""
    yield
    end_all()


class Odd:
    """Cannot be compared."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("no truth")


def test_it_is_the_same_one_until_it_will_not_do() -> None:
    """Another beginning wants other processes; who asks for none takes what there is."""
    first = reuse("inline", begin=Begin(tell, (1,)))
    assert reuse("inline", begin=Begin(tell, (1,))) is first
    assert reuse("inline") is first
    other = reuse("inline", begin=Begin(tell, (2,)))
    assert other is not first
    assert reuse("inline", begin=Begin(tell, (2,))) is other
    odd = Odd()
    assert reuse("inline", begin=Begin(tell, (odd,))) is reuse("inline", begin=Begin(tell, (odd,)))
    assert reuse("inline", begin=Begin(tell, (odd,))) is not reuse("inline", begin=Begin(tell, (Odd(),)))


def test_one_that_was_left_is_not_given_out() -> None:
    """Neither is one that was ended."""
    first = reuse("inline")
    first.pipeline.shutdown()
    second = reuse("inline")
    assert second is not first
    end_all()
    assert not second.is_usable()
    assert reuse("inline") is not second


def test_it_begins_once() -> None:
    """In a process, whatever is submitted."""
    word = os.urandom(4).hex()
    one = reuse("inline", begin=Begin(tell, (word,)))
    for _ in range(2):
        assert one.submit(one.pipeline, told).result()[-1] == word
    assert told().count(word) == 1


def test_it_is_idle_when_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the end of its last job on."""
    one = reuse("inline", idle_time=10.0)
    now = one.used_at + 4.0
    monkeypatch.setattr("penstock.adapters.reused_pipelines.time.monotonic", lambda: now)
    one.submit(one.pipeline, abs, -1)
    assert one.idle_until() == now + 10.0
    ended = now
    now += 5.0
    assert one.idle_until() == ended + 10.0
    one._open.add(one.pipeline.submit(abs, -1))
    assert one.idle_until() == now + 10.0
