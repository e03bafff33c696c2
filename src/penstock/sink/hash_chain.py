"""The chain of the sink's log: each line's chain hashes the line and, through the chain before it, all earlier ones.

Line 0, before the first one, has an empty chain. Two logs with the same chain at a number are the same up to there.
Ventilator and sink keep (number, chain) each on its own disk, so either notices when the other lost the end of its
file, which SQLite itself does not.
"""

from __future__ import annotations

import hashlib

import msgspec

from penstock.wire.records import Completion, OutcomeHead

CHAIN_BYTES = 16
"""Not against forgers (who would own both disks), only against accidents: 128 bits are plenty."""

_encode = msgspec.msgpack.Encoder().encode


def completion(seq: int, head: OutcomeHead, worker: bytes, previous: bytes) -> Completion:
    """The log's line of this number, after a line whose chain is `previous`."""
    fields = (
        seq,
        head.batch,
        head.start,
        head.stop,
        head.state,
        head.final,
        head.stamp,
        head.crashed,
        head.lease,
        worker,
        float(head.elapsed),  # an int would be hashed as one, and come back from a store as a float
    )
    chain = hashlib.blake2b(_encode((*fields, previous)), digest_size=CHAIN_BYTES).digest()
    return Completion(*fields, chain)


class LogReplay:
    """A replay under way: `after` is the last line told, `chain` what its chain must be (None: it was compared)."""

    def __init__(self, after: int, chain: bytes) -> None:
        self.after = after
        self.chain: bytes | None = chain
        self.is_reading = False
        self.rests = False
        """One slice per turn, and no read in the turn that a slice came in: others are served in between."""
