"""What the ventilator's core has read out of the queue file: what it asks for, and what comes back."""

from __future__ import annotations

from penstock.keys.roles import Peer
from penstock.station.contract import Action, Input
from penstock.ventilator.contract import StoredBatch, StoredChunk
from penstock.wire.desk_messages import AskBatches, AskFiltered


class LoadChunks(Action, frozen=True):
    """Read the batch's open chunks from `first` on, at most `limit`; comes back as ChunksLoaded."""

    batch: bytes
    first: int
    limit: int


class ChunksLoaded(Input, frozen=True):
    """Answers LoadChunks, in order of `first`; fewer than `limit` means that there are no more."""

    batch: bytes
    limit: int
    chunks: tuple[StoredChunk, ...]


class LoadChunk(Action, frozen=True):
    """Read the chunk that has this index; comes back as ChunkLoaded."""

    batch: bytes
    index: int


class ChunkLoaded(Input, frozen=True):
    """Answers LoadChunk; None: that index has no open job."""

    batch: bytes
    index: int
    chunk: StoredChunk | None


class LoadKept(Action, frozen=True):
    """Read what is kept of the chunks that have jobs in [start, stop), finished ones too; comes back as KeptLoaded."""

    batch: bytes
    start: int
    stop: int


class KeptLoaded(Input, frozen=True):
    """Answers LoadKept: in order; a chunk without parts is finished, and one that is not here is not kept."""

    batch: bytes
    start: int
    stop: int
    chunks: tuple[StoredChunk, ...]


class LoadNextKept(Action, frozen=True):
    """Read the batch that follows this one in the order of ids, and what is kept of its chunks; comes back as
    BatchesLoaded and NextKeptLoaded."""

    after: bytes


class NextKeptLoaded(Input, frozen=True):
    """Answers LoadNextKept; without `kept` there is no batch behind `after`."""

    after: bytes
    kept: KeptLoaded | None


class BatchesLoaded(Input, frozen=True):
    """What the next message names and was not in memory, as the queue file has it."""

    batches: tuple[StoredBatch, ...]


class FindBatches(Action, frozen=True):
    """Read the newest batches that fit what somebody has asked; comes back as BatchesFound. `limit` and `ids` are for
    an AskFiltered: so many, and if there are ids only those."""

    client: bytes
    sender: Peer
    ask: AskBatches | AskFiltered
    limit: int = 0
    ids: tuple[bytes, ...] = ()


class BatchesFound(Input, frozen=True):
    """Answers FindBatches: the newest first."""

    asked: FindBatches
    batches: tuple[StoredBatch, ...]


class LoadExpired(Action, frozen=True):
    """Read the batches that were to be retained until then (wall clock), at most `limit`; comes back as
    ExpiredLoaded."""

    until: float
    limit: int


class ExpiredLoaded(Input, frozen=True):
    """Answers LoadExpired; `limit` of them: there may be more."""

    limit: int
    batches: tuple[StoredBatch, ...]


Load = LoadChunks | LoadChunk | LoadKept | FindBatches | LoadExpired | LoadNextKept
"""What brings back an input out of the queue file."""
