"""The standard library as it was before any code of users ran.

A job, a test with a mock above all, may leave ``time.time`` or ``os.fstat`` patched in its process, for all jobs that
follow there. What is penstock's own in that process uses these copies: its clocks, and how it tells jobs apart, are
not a job's to change.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

__all__ = ["end_process", "os", "pickle", "select", "signal", "threading", "time", "traceback"]

end_process: Callable[[int], NoReturn] = os._exit
"""At once, with this exit code."""


def copy_of(module: ModuleType) -> ModuleType:
    """A module with the same in it, which whoever patches the module does not change."""
    copy = ModuleType(module.__name__, module.__doc__)
    vars(copy).update(vars(module))
    return copy


if not TYPE_CHECKING:
    os, pickle, select = map(copy_of, (os, pickle, select))
    signal, threading, time, traceback = map(copy_of, (signal, threading, time, traceback))
