"""Who a slot's process is to code that asks multiprocessing: a name and a number of its own, as a worker of a Pool has.

Programs seed their random numbers by ``current_process()._identity``, and name files and loggers by ``.name``. A child
of a slot is numbered below it.
"""

from __future__ import annotations

from multiprocessing import process


def introduce(slot: int) -> None:
    """Be the slot of this number."""
    me = process.current_process()
    me.name = f"penstock-slot-{slot}"
    me._identity = (slot + 1,)  # noqa: SLF001 - a Pool's workers count from 1, too
