"""The functions that a worker has, and which of them it can forget.

Promises:

1. What a lease that is held needs is here as long as the lease is.
2. Of the others, those used last are kept, as many as fit into UNUSED_BYTES, but at least one: batches of one function
   come one after the other.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from penstock.station.contract import Actions
from penstock.worker.contract import FreeFunction

UNUSED_BYTES = 32 << 20
"""Of functions that no lease needs: what comes again within seconds need not be sent again."""


class Functions:
    """By their digests."""

    def __init__(self) -> None:
        self.here: set[bytes] = set()
        self._sizes: dict[bytes, int] = {}
        """Of those that are here or that leases need."""
        self._leases: Counter[bytes] = Counter()
        """How many leases need each."""
        self._unused: OrderedDict[bytes, int] = OrderedDict()
        """Those that are here and that none needs, with their sizes, the one used longest ago first."""
        self.used_bytes: int = 0
        """Of those that leases need, here or on their way."""

    def arrived(self, function: bytes, size: int) -> None:
        """It is here now."""
        self.here.add(function)
        if function not in self._leases:
            self._unused[function] = size
            self._unused.move_to_end(function)

    def is_used(self, function: bytes) -> bool:
        """Whether a lease needs it."""
        return function in self._leases

    def use(self, function: bytes, size: int) -> None:
        """One lease more needs it."""
        self._leases[function] += 1
        if self._leases[function] == 1:
            self._unused.pop(function, None)
            self._sizes[function] = size
            self.used_bytes += size

    def let_go(self, function: bytes) -> None:
        """One lease less does."""
        self._leases[function] -= 1
        if not self._leases[function]:
            del self._leases[function]
            size = self._sizes.pop(function)
            self.used_bytes -= size
            if function in self.here:
                self._unused[function] = size

    def forget(self) -> Actions:
        """What can be forgotten."""
        actions: Actions = []
        unused_bytes = sum(self._unused.values())
        while len(self._unused) > 1 and unused_bytes > UNUSED_BYTES:
            function, size = self._unused.popitem(last=False)
            unused_bytes -= size
            self.here.discard(function)
            actions.append(FreeFunction(function))
        return actions

    def check(self) -> None:
        """The invariants; AssertionError if one does not hold."""
        assert self.used_bytes == sum(self._sizes.values()), "what is used is counted right"
        assert self._leases.keys() == self._sizes.keys(), "and known by its leases"
        assert self._unused.keys() == self.here - self._leases.keys(), "what is here is used or can be forgotten"
