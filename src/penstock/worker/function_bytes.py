"""The bytes of the functions that a worker has, which it was given with their jobs or asked for, and what has come of
others. Which of them are kept is decided by functions.py."""

from __future__ import annotations

from penstock.wire.frames import kept
from penstock.wire.messages import Bytes, FunctionPart


class FunctionBytes:
    """By their digests."""

    def __init__(self) -> None:
        self._whole: dict[bytes, Bytes] = {}
        self._begun: dict[bytes, bytearray] = {}

    def code(self, function: bytes) -> Bytes:
        """A function that is here."""
        return self._whole[function]

    def add(self, function: bytes, code: Bytes) -> None:
        """It came with its jobs."""
        self._whole.setdefault(function, kept(code))

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

    def forget(self, function: bytes) -> None:
        """It is needed no more."""
        self._whole.pop(function, None)
