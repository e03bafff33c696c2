"""Ctrl-C while something is shown."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from penstock.cli.run.interrupts import Interrupts
from penstock.cli.signals import Told, adopt, exit_code, give_back


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, however the tests were started."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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


def test_sigterm_is_held_back_likewise_and_says_what_it_is() -> None:
    """Its exit code is that of its number, and who ignores a signal, as under nohup, goes on doing so."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    adopt()
    with Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(Told) as told:
            interrupts.release()
    assert (exit_code(told.value), exit_code(KeyboardInterrupt())) == (143, 130)
    with pytest.raises(Told):
        signal.raise_signal(signal.SIGTERM)
    give_back()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == (signal.SIG_DFL, signal.SIG_IGN)
