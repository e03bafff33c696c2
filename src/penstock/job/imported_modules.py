"""Modules that somebody else has imported, or is importing just now."""

from __future__ import annotations

import sys
from types import ModuleType


def imported(name: str) -> ModuleType | None:
    """The module of this name, None if nobody has imported it in this process.

    One that another thread imports right now is in ``sys.modules`` already, and has only some of its names: that is
    waited for. So this is for modules that import nothing of the caller's.
    """
    if sys.modules.get(name) is None:
        return None
    __import__(name)
    return sys.modules.get(name)
