"""Ctrl-C while something is shown."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from penstock.cli.interrupts import Interrupts


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, however the tests were started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_it_waits_until_what_has_begun_is_shown() -> None:
    """Then it comes, once."""
    with Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.release()
        interrupts.hold()
        interrupts.release()


def test_nothing_holds_back_a_second_one() -> None:
    """What is shown may hang; and while nothing is shown the first one comes at once."""
    with Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
