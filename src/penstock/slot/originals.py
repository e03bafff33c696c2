"""As job/originals.py, what only slots have: a client may be on Windows, where there is no fcntl."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

from penstock.job.originals import copy_of

__all__ = ["fcntl"]

if not TYPE_CHECKING:
    fcntl = copy_of(fcntl)
