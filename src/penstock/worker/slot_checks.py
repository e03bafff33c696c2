"""Whether what a slot says can be: a job may have written to its socket, also frames that decode.

The core believes what it is told, and everybody behind it; so nothing is told that a slot in its senses does not say.
"""

from __future__ import annotations

from penstock.slot.protocol import NO_LIMIT, Done, FromSlot, Retires
from penstock.worker.slot_handle import SlotHandle, are_in_order


def nonsense(message: FromSlot, size: int, handle: SlotHandle) -> str:
    """What is wrong with a message that has a payload of so many bytes, in words; empty: nothing."""
    if isinstance(message, Done):
        return _of_done(message, size, handle)
    if handle.is_ready and not isinstance(message, Retires):
        return "it begins, and has begun long ago"
    return ""


def _of_done(message: Done, size: int, handle: SlotHandle) -> str:
    piece = handle.pieces.get(message.piece)
    if piece is None or (message.piece != next(iter(handle.pieces)) and not handle.ended):
        return "it is done with what it was not to do"
    stop = min(piece.stop, handle.cuts.get(message.piece, NO_LIMIT))
    if not are_in_order(message.ran, handle.next_to_say(message.piece), stop):
        return "it is done with jobs that it was not to run"
    if sum(ran.size for ran in message.ran) != size:
        return "what its jobs came to is cut"
    if not all(ran.spooled is None or handle.drain.has(ran.spooled) for ran in message.ran):
        return "what its jobs wrote is not there"
    return ""
