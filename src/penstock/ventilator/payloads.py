"""What jobs are given: arguments and functions, from memory or from the queue file.

Promises:

1. What was just accepted is not read again, within CACHE_BYTES.
2. A lease whose arguments or function cannot be read is left out of the message that it was to go in, and named.
"""

from __future__ import annotations

from collections import OrderedDict

from penstock.station.checked_rows import DamagedRow
from penstock.ventilator.contract import PayloadDamaged
from penstock.ventilator.store import QueueStore
from penstock.wire.frames import kept
from penstock.wire.messages import Jobs

CACHE_BYTES = 32 << 20
"""Payloads kept in memory between accepting and giving out: most go straight through."""

FUNCTION_COST = 1 << 10
"""Bytes that a function takes beside its own, generously: small ones are bounded, too."""


class Payloads:
    """Of this store."""

    def __init__(self, store: QueueStore) -> None:
        self._store = store
        self._cache: OrderedDict[tuple[bytes, int], bytes | memoryview] = OrderedDict()
        self._cache_bytes = 0
        self._functions: OrderedDict[bytes, bytes | memoryview] = OrderedDict()
        self._function_bytes = 0

    def loaded(self, jobs: Jobs) -> tuple[Jobs, list[bytes | memoryview], list[PayloadDamaged]]:
        """The message with its payload, without the leases whose payload is damaged."""
        found: dict[tuple[bytes, int], bytes | memoryview] = {}
        functions: dict[bytes, bytes | memoryview] = {}
        lost: set[bytes] = set()
        for head in jobs.batches:
            try:
                functions[head.batch] = self.function(head.function) if head.inline else b""
            except DamagedRow as damage:
                self._store.note(str(damage))
                lost.add(head.function)
        for lease in jobs.leases:
            try:
                if lease.batch in functions and (lease.batch, lease.first) not in found:
                    found[lease.batch, lease.first] = self._chunk(lease.batch, lease.first)
            except DamagedRow as damage:
                self._store.note(str(damage))
        damaged = [one.number for one in jobs.leases if (one.batch, one.first) not in found]
        if damaged or lost:
            heads = tuple(head for head in jobs.batches if head.batch in functions)
            leases = tuple(one for one in jobs.leases if (one.batch, one.first) in found)
            jobs = Jobs(heads, leases)
        payload = [functions[head.batch] for head in jobs.batches if head.inline]
        payload += [found[lease.batch, lease.first] for lease in jobs.leases]
        return jobs, payload, [PayloadDamaged(tuple(damaged), tuple(lost))] if damaged or lost else []

    def remember_function(self, digest: bytes, code: bytes | memoryview) -> None:
        """It was accepted, or read: the last ones that were used are kept, of one that is larger than CACHE_BYTES that
        one alone."""
        self._forget(digest)
        self._function_bytes += len(code) + FUNCTION_COST
        self._functions[digest] = kept(code)
        while len(self._functions) > 1 and self._function_bytes > CACHE_BYTES:
            self._forget(next(iter(self._functions)))

    def _forget(self, digest: bytes) -> None:
        code = self._functions.pop(digest, None)
        if code is not None:
            self._function_bytes -= len(code) + FUNCTION_COST

    def remember_chunk(self, key: tuple[bytes, int], payload: bytes | memoryview) -> None:
        """It was accepted."""
        self._cache_bytes += len(payload) - len(self._cache.pop(key, b""))
        self._cache[key] = kept(payload)
        while self._cache_bytes > CACHE_BYTES:
            self._cache_bytes -= len(self._cache.popitem(last=False)[1])

    def _chunk(self, batch: bytes, first: int) -> bytes | memoryview:
        payload = self._cache.pop((batch, first), None)
        if payload is None:
            return self._store.chunk(batch, first)
        self._cache_bytes -= len(payload)
        return payload

    def function(self, digest: bytes) -> bytes | memoryview:
        """A function's serialized form. Raises DamagedRow."""
        code = self._functions.get(digest)
        if code is None:
            code = self._store.function(digest)
            self.remember_function(digest, code)
        self._functions.move_to_end(digest)
        return code
