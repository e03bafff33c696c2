"""The thread of callbacks: it outlives whatever users do in it."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import pytest

from penstock.client.callback_thread import Delivery, ensure_threads
from penstock.errors import ConfigError
from support.stations import LIMIT


def raises(error: BaseException) -> None:
    """The code of users."""
    raise error


def test_what_is_given_is_done_in_its_order_by_one_thread() -> None:
    """It begins with the first thing given, and knows itself."""
    delivery, seen = Delivery(), []
    assert not delivery.is_here
    for number in range(100):
        delivery.put(lambda number=number: seen.append((number, delivery.is_here, threading.get_ident())))  # type: ignore[misc]
    delivery.wait()
    assert [number for number, *_ in seen] == list(range(100))
    assert {is_here for _, is_here, _ in seen} == {True}
    assert len({thread for *_, thread in seen} - {threading.get_ident()}) == 1
    delivery.close()


@pytest.mark.parametrize("error", [ValueError(), SystemExit("x"), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_one_of_them_raises_the_next_is_done(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""
    delivery, seen = Delivery(), []
    delivery.put(lambda: raises(error))
    delivery.put(lambda: seen.append("next"))
    delivery.wait()
    assert seen == ["next"]
    assert type(error).__name__ in caplog.text
    delivery.close()


def test_who_waits_in_it_does_not() -> None:
    """It would wait for itself."""
    delivery, seen = Delivery(), []

    def waits() -> None:
        delivery.wait()
        seen.append("did not")

    delivery.put(waits)
    delivery.wait()
    assert seen == ["did not"]
    delivery.close()


def test_what_is_given_after_its_end_is_done_all_the_same() -> None:
    """Who submits in the moment in which the pipeline is left is told."""
    delivery = Delivery()
    for _ in range(20):
        done = threading.Event()
        delivery.close()
        delivery.put(done.set)
        assert done.wait(LIMIT)


@pytest.mark.parametrize("patched", [{"threading"}, {"queue"}])
def test_greenlets_are_no_threads(monkeypatch: pytest.MonkeyPatch, patched: set[str]) -> None:
    """One line says so, and what to do; a gevent that leaves threads alone is none of our business."""
    monkeypatch.setitem(sys.modules, "gevent.monkey", SimpleNamespace(is_module_patched=patched.__contains__))
    with pytest.raises(ConfigError, match=r"thread=False, queue=False") as raised:
        ensure_threads()
    assert "\n" not in str(raised.value)
    monkeypatch.setitem(sys.modules, "gevent.monkey", SimpleNamespace(is_module_patched={"socket"}.__contains__))
    ensure_threads()
