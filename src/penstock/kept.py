"""How what a job writes is kept: its head, its tail, and in between a line that says how much is missing."""

from __future__ import annotations

import re

KEPT_BYTES = 65_536
"""Of each stream the first and the last so many bytes are kept."""

_CUT = re.compile(rb"\n\[\.\.\. (\d+) bytes cut \.\.\.\]\n")


def cut_line(missing: int) -> bytes:
    """What stands where bytes are missing."""
    return b"\n[... %d bytes cut ...]\n" % missing


def behind(kept: bytes, seen: int) -> bytes:
    """What is to be shown of an output that was kept like this to somebody who has seen its first `seen` bytes."""
    match = _CUT.match(kept, KEPT_BYTES) if len(kept) > 2 * KEPT_BYTES else None
    if match is None or seen <= match.start():
        return kept[seen:]
    missing = int(match[1]) + match.start() - seen
    if missing <= 0:
        return kept[match.end() - missing :]
    # who has seen all up to here has ended with a line
    return cut_line(missing).lstrip(b"\n") + kept[match.end() :]
