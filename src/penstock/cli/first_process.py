"""Process 1 of a container: it forks the command, passes signals on to it, and buries whatever is orphaned.

Process 1 has no default actions, so a SIGTERM would do nothing before a handler is there; and orphans come to it, which
would pile up as zombies. The command itself then is an ordinary process. Signals of the terminal reach it by
themselves: it is in the same process group. All others in the container end with process 1, so if the command was
killed, its stations have their time to end what runs, and to clear up.
"""

from __future__ import annotations

import os
import signal
import time

from penstock.exit_codes import SIGNALLED

FIRST = 1
SI_KERNEL = 0x80
"""si_code of a signal that the kernel sent to the whole process group, as the terminal's Ctrl-C (sigaction(2))."""
LAST_TIME = 30.0
"""Seconds that orphans of a command that was killed have: as long as Kubernetes gives."""


def stand_before() -> None:
    """Returns in the child that is to run the command, and never in process 1, which ends as that does. Elsewhere it
    does nothing."""
    if os.getpid() != FIRST:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    status = _look_after(child)
    if os.WIFSIGNALED(status):
        _wait_for_all()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else SIGNALLED - code)  # as a shell has it


def _look_after(child: int) -> int:
    """Until it has ended; returns its wait status."""
    while True:
        found = signal.sigwaitinfo(signal.valid_signals())
        if found.si_signo != signal.SIGCHLD:
            if found.si_code != SI_KERNEL:
                os.kill(child, found.si_signo)
            continue
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                return ended[1]


def _wait_for_all() -> None:
    """Until nobody is left, or time is over, or somebody has had enough."""
    deadline = time.monotonic() + LAST_TIME
    try:
        while True:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            found = signal.sigtimedwait(signal.valid_signals(), max(0.0, deadline - time.monotonic()))
            if found is None or found.si_signo != signal.SIGCHLD:
                return
    except ChildProcessError:
        return
