"""What a job leaves in the place of ``len`` or ``open`` is taken away again before anything else runs.

All code of a process looks these names up, the slot's own too, and that of the standard library which it calls. So,
other than what is kept of a module (job/originals.py), they are put right at once. Names that jobs add are let be:
``gettext.install`` does, for one.
"""

from __future__ import annotations

import builtins
from operator import is_not

BUILTINS = vars(builtins)
ANY, MAP = any, map
"""As they are before any job has patched them."""


class Builtins:
    """Those of this process, as they are now."""

    def __init__(self) -> None:
        self.keep()

    def keep(self) -> None:
        """As they are now they should be."""
        self._kept = BUILTINS.copy()
        self._values = [*self._kept.values()]

    def are_kept(self) -> bool:
        """Whether they are as they should be, each the same object: what a job puts there may say that it is equal to
        anything. Costs three microseconds."""
        return not ANY(MAP(is_not, [*BUILTINS.values()], self._values))

    def put_right(self) -> str:
        """Make them as they should be; returns the names of those that were not, empty if all were."""
        if self.are_kept():
            return ""
        found = BUILTINS.copy()
        BUILTINS.update(self._kept)
        names = [name for name, was in self._kept.items() if name not in found or found[name] is not was]
        self.keep()  # their order may be another one
        return " and ".join(f"builtins.{name}" for name in names)
