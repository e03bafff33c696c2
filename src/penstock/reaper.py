"""Process 1 of a container: it forks the command, passes signals on to it, and buries whatever is orphaned.

Process 1 has no default actions, so a SIGTERM would do nothing before a handler is there; and orphans come to it, which
would pile up as zombies. The command itself then is an ordinary process. Signals of the terminal reach it by
themselves: it is in the same process group.
"""

from __future__ import annotations

import os
import signal

FIRST = 1
SI_KERNEL = 0x80
"""si_code of a signal that the kernel sent to the whole process group, as the terminal's Ctrl-C (sigaction(2))."""


def stand_before() -> None:
    """Returns in the child that is to run the command, and never in process 1, which ends as that does. Elsewhere it
    does nothing."""
    if os.getpid() != FIRST:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child:
        os._exit(_look_after(child))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _look_after(child: int) -> int:
    """Until it has ended; returns the exit code, as a shell has it."""
    while True:
        found = signal.sigwaitinfo(signal.valid_signals())
        if found.si_signo != signal.SIGCHLD:
            if found.si_code != SI_KERNEL:
                os.kill(child, found.si_signo)
            continue
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
                return code if code >= 0 else 128 - code
