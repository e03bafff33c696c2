"""The exit code of every process of penstock, and what it means to whoever started it."""

from __future__ import annotations

SUCCESS = 0
FAILURE = 1
WRONG_USE = 2
NO_PIPELINE = 3
REFUSED = 4
NO_ADDRESS = 68
"""EX_NOHOST of sysexits.h."""
SOFTWARE = 70
"""EX_SOFTWARE of sysexits.h."""
STORE_FAILED = 74
"""EX_IOERR of sysexits.h."""
UNDELIVERED = 75
"""EX_TEMPFAIL of sysexits.h."""
SIGNALLED = 128
"""Plus the number of a signal, as a shell has it."""
INTERRUPTED = 130

MEANINGS = {
    SUCCESS: "All is well: every job that was waited for has succeeded.",
    FAILURE: "Some job did not succeed (run, results, submit --wait), something is wrong (doctor) or damaged (check),"
    " or there was an error that stderr names.",
    WRONG_USE: "Wrong use: an unknown option, a wrong setting, no such batch or worker, a folder or an address in use."
    " Nothing was done.",
    NO_PIPELINE: "No pipeline answers at the URL.",
    REFUSED: "The pipeline refused: it does not know the key, does not allow it this, or the file of this station"
    " does not go with the other station's. Or the sockets of an ipc URL may be another user's.",
    NO_ADDRESS: "The name at which a station is to listen has no address here, also after a minute: DNS may be late.",
    SOFTWARE: "A station failed by an error of its own, which its log shows.",
    STORE_FAILED: "A station's store failed. What was acknowledged is safe in it.",
    UNDELIVERED: "A worker left with outcomes that no sink had taken. These jobs run again.",
    SIGNALLED + 1: "Ended by SIGHUP: its terminal is gone.",
    INTERRUPTED: "Interrupted by Ctrl-C.",
    SIGNALLED + 15: "Ended by SIGTERM.",
}
"""For people: the manual page and the guide list them."""


def in_words(code: int) -> str:
    """How a process ended, by its exit code as `subprocess` has it: negative for the number of a signal."""
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
