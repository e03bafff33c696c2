"""The process between an agent and its fork server, which outlives both: what they ran ends also where the two are
killed at one moment.

It is executed as a script, and forks the fork server before it has imported anything of penstock, so that it is small.
Then it does nothing but wait. When the fork server has ended, whatever ended it, it kills all that descends from there:
orphans come to it, as it is their subreaper.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)."""


def watch(server: int, control: int) -> NoReturn:
    """Wait for the fork server's end, kill what it has left, and end as it has. `control`: the file that nobody but the
    fork server shall have."""
    import ctypes  # noqa: PLC0415 - the fork server does not need it so early
    import signal  # noqa: PLC0415 - likewise

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a service manager signals every process of the worker
    os.close(control)
    _, status = os.waitpid(server, 0)
    from penstock.slot.process_tree import kill_descendants  # noqa: PLC0415 - nothing of it is needed before

    kill_descendants()
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(code)


def main(setup: str, control: int) -> None:
    """Fork what becomes the fork server with this `setup`, and watch it."""
    sys.path[:] = json.loads(setup)["path"]
    if server := os.fork():
        watch(server, control)
    os.setsid()
    from penstock.slot.fork_server import main as serve  # noqa: PLC0415 - the watcher needs none of it

    serve(setup.encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
