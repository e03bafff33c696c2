"""What is said of processes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from penstock.slot import process_tree
from penstock.slot.process_tree import (
    SignalState,
    Undertaker,
    descendants,
    ending,
    is_alive,
    is_dead,
    is_leaving,
    oom_kills,
    signal_name,
    sweep_children,
)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exit code 0"),
        (3 << 8, "exit code 3"),
        (signal.SIGSEGV, "killed by SIGSEGV (segmentation fault)"),
        (signal.SIGKILL, "killed by SIGKILL"),
        (signal.SIGABRT | 0x80, "killed by SIGABRT (abort)"),
        (signal.SIGRTMIN + 1, f"killed by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_ending_in_plain_words(status: int, words: str) -> None:
    """Exit code or signal, and what the signal means."""
    assert ending(status) == words


def test_signals_have_names() -> None:
    """A number without a name is said as a number."""
    assert (signal_name(15), signal_name(63)) == ("SIGTERM", "signal 63")


def test_descendants_of_nobody() -> None:
    """A process that is gone has none; the parent of this one has this one."""
    assert descendants(2**22 + 1) == []
    assert os.getpid() in descendants(os.getppid())


def test_oom_kills_only_grow() -> None:
    """The counter can be read here, whatever control groups there are."""
    assert 0 <= oom_kills() <= oom_kills()


def test_signals_are_as_before() -> None:
    """Handlers, mask and timer that were changed are put back."""
    before = signal.getsignal(signal.SIGUSR1)
    state = SignalState()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    signal.setitimer(signal.ITIMER_REAL, 1000)
    state.restore()
    assert signal.getsignal(signal.SIGUSR1) is before
    assert signal.SIGUSR2 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def started(exitcode: int | None) -> int:
    """A child that nothing waits for: it has ended with this code, or sleeps."""
    ends = "exec sleep 1000" if exitcode is None else f"exit {exitcode}"
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", ends], os.environ)
    if exitcode is not None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_the_oldest_dead_are_buried_and_the_newest_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever started them may still ask how they ended; who lives is no concern of this."""
    monkeypatch.setattr(process_tree, "ZOMBIES", 2)
    living = started(None)
    dead = [started(code) for code in range(5)]
    assert [is_alive(living), is_alive(dead[0])] == [True, False]
    Undertaker().look()
    assert [is_dead(pid) for pid in [living, *dead]] == [False, False, False, False, True, True]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in dead[3:]] == [3, 4]
    os.kill(living, signal.SIGKILL)
    os.waitpid(living, 0)


def test_who_is_leaving_runs_no_more_code() -> None:
    """A zombie and who is gone, not who runs."""
    living, dead = started(None), started(3)
    assert [is_leaving(pid) for pid in (living, dead, 2**22 + 1)] == [False, True, True]
    os.kill(living, signal.SIGKILL)
    for pid in (living, dead):
        os.waitpid(pid, 0)


def test_a_sweep_spares_whom_it_is_told_to() -> None:
    """All others are gone when it returns."""
    before = descendants(os.getpid())  # multiprocessing's resource tracker, after some other test
    kept = subprocess.Popen(["sleep", "1000"])
    other = subprocess.Popen(["sh", "-c", "sleep 1000 & wait"])
    sweep_children([*before, kept.pid], lambda: False)
    assert set(descendants(os.getpid())) == {*before, kept.pid}
    other.wait()
    kept.kill()
    kept.wait()


@pytest.mark.parametrize("has_grace", [True, False])
def test_who_has_a_grace_is_waited_for(has_grace: bool, tmp_path: Path) -> None:
    """A sweep lets them come to their end then; else they never do."""
    before = descendants(os.getpid())
    process = subprocess.Popen(["sh", "-c", f"sleep 0.2; echo > {tmp_path}/end"])
    sweep_children(before, lambda: has_grace)
    process.wait()
    assert (set(descendants(os.getpid())), (tmp_path / "end").exists()) == (set(before), has_grace)
