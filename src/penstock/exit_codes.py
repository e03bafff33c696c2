"""The exit code of every process of penstock, and what it means to whoever started it."""

from __future__ import annotations

SUCCESS = 0
"""All is well: every job that was waited for has succeeded."""
FAILURE = 1
"""Some job did not succeed, stdout took no more, or there was another error that has no code of its own."""
WRONG_USE = 2
"""Wrong options, settings or files, no such batch or worker, a folder or an address in use: nothing was started."""
NO_PIPELINE = 3
"""No pipeline answers at the URL."""
REFUSED = 4
"""The pipeline does not let this key in, or does not allow it what was asked for."""
SOFTWARE = 70
"""EX_SOFTWARE of sysexits.h: a station raised what it should not."""
STORE_FAILED = 74
"""EX_IOERR of sysexits.h: a station's store failed; what was acknowledged is safe in it."""
UNDELIVERED = 75
"""EX_TEMPFAIL of sysexits.h: a worker left with outcomes that no sink has taken; these jobs run again."""
SIGNALLED = 128
"""Plus the number of the signal that ended it, as a shell has it: 143 after SIGTERM, 129 after SIGHUP."""
INTERRUPTED = 130
"""Ctrl-C ended it."""
