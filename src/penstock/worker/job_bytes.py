"""The bytes that a worker has of its jobs: their arguments, and their functions, which it was given with them or asked
for, and what has come of others. Which functions are kept is decided by functions.py."""

from __future__ import annotations

from penstock.wire.frames import kept, split
from penstock.wire.messages import FunctionPart, Jobs
from penstock.wire.records import Bytes


class JobBytes:
    """Functions by their digests, arguments by the lease of their jobs."""

    def __init__(self) -> None:
        self._arguments: dict[int, Bytes] = {}
        self._whole: dict[bytes, Bytes] = {}
        self._begun: dict[bytes, bytearray] = {}

    def code(self, function: bytes) -> Bytes:
        """A function that is here."""
        return self._whole[function]

    def arguments(self, lease: int) -> Bytes:
        """Those of the jobs of a lease that is here."""
        return self._arguments[lease]

    def unpack(self, jobs: Jobs, payload: Bytes) -> None:
        """Jobs came, with their arguments, and with functions that are small."""
        parts = split(payload, [head.inline for head in jobs.batches] + [lease.size for lease in jobs.leases])
        heads = {head.batch for head in jobs.batches}
        for head, code in zip(jobs.batches, parts, strict=False):
            if head.inline == head.size:
                self._whole.setdefault(head.function, kept(code))
        for lease, arguments in zip(jobs.leases, parts[len(jobs.batches) :], strict=True):
            if lease.batch in heads:
                self._arguments.setdefault(lease.number, kept(arguments))

    def put(self, part: FunctionPart, payload: Bytes) -> bool:
        """Whether it is whole by that. Parts arrive in order; one out of order begins it anew at the next request."""
        if part.function in self._whole:
            return False
        code = self._begun.setdefault(part.function, bytearray())
        if part.offset == 0:
            code.clear()
        if part.offset != len(code):
            return False
        code += payload
        if len(code) < part.total:
            return False
        self._whole[part.function] = memoryview(self._begun.pop(part.function))
        return True

    def free(self, lease: int) -> bool:
        """Its arguments are needed no more; returns whether they were here."""
        return self._arguments.pop(lease, None) is not None

    def forget(self, function: bytes) -> None:
        """It is needed no more."""
        self._whole.pop(function, None)
