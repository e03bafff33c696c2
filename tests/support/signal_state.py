"""What the kernel says of a process's signals."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Literal


def has_signal(pid: int, kind: Literal["SigIgn", "SigCgt", "ShdPnd"], number: signal.Signals) -> bool:
    """Whether a signal is ignored by a process, caught by it, or has been sent and not arrived."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (found,) = [int(line.split()[1], 16) for line in lines if line.startswith(f"{kind}:")]
    return bool(found >> (number - 1) & 1)
