"""Tokens of leases: proof, under a key that ventilator and sink share, that a span was given out.

Tokens of claims are the same for clients: the ventilator, which knows whose batch it is, grants its outcomes; the sink,
which does not, gives them to who has the grant.

A token says which jobs a lease is for, and its MAC makes it the ventilator's word. A worker hands it back with the
outcomes; it need not understand it. One token a lease, one check a lease and message: nothing is paid per job.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from penstock.job.spec import Stamp
from penstock.wire.records import OutcomeHead, Print

MAC_BYTES = 16
"""Guessed in 2**128 tries, each a message to the sink."""
CLAIM = b"claim"
"""So that no token of one use is one of another."""


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """What a token says."""

    lease: int
    batch: bytes
    start: int
    stop: int
    stamp: Stamp

    def covers(self, head: OutcomeHead | Print) -> bool:
        """Whether an outcome, or what a job wrote, is of this lease."""
        start, stop = (head.index, head.index + 1) if isinstance(head, Print) else (head.start, head.stop)
        inside = self.start <= start and stop <= self.stop
        return inside and (self.lease, self.batch, self.stamp) == (head.lease, head.batch, head.stamp)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Grant).decode


class LeaseTokens(NamedTuple):
    """Makes tokens and opens them, under one key; without a key (empty) there are none."""

    key: bytes = b""

    def token(self, grant: Grant) -> bytes:
        """The token of a lease."""
        if not self.key:
            return b""
        words = _encode(grant)
        return self._mac(words) + words

    def open(self, token: bytes) -> Grant | None:
        """What a token says; None: it is not the ventilator's."""
        mac, words = token[:MAC_BYTES], token[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(words)):
            return None
        try:
            return _decode(words)
        except msgspec.DecodeError:
            return None

    def shown(self, tokens: Iterable[bytes]) -> Callable[[int], bool]:
        """Whether the lease of a number is one of those that have these tokens. Without a key all are."""
        if not self.key:
            return lambda _: True
        return {grant.lease for grant in map(self.open, tokens) if grant is not None}.__contains__

    def claim_token(self, batch: bytes, key_name: str) -> bytes:
        """The token with which the holder of this key may take outcomes of this batch from other readers."""
        return self._mac(batch + key_name.encode(), CLAIM) if self.key else b""

    def may_claim(self, token: bytes, batch: bytes, key_name: str) -> bool:
        """Whether the token is the one of this batch and this key. Without a key everybody may."""
        return not self.key or hmac.compare_digest(token, self.claim_token(batch, key_name))

    def opened(self, tokens: Iterable[bytes] | None) -> Callable[[OutcomeHead | Print], bool]:
        """Whether an outcome, or what a job wrote, is granted by one of these tokens. Without a key, and where there
        need be none (None), all are."""
        if not self.key or tokens is None:
            return lambda _: True
        grants = {grant.lease: grant for grant in map(self.open, tokens) if grant is not None}
        return lambda head: head.lease in grants and grants[head.lease].covers(head)

    def _mac(self, words: bytes, use: bytes = b"") -> bytes:
        return hashlib.blake2b(words, key=self.key, digest_size=MAC_BYTES, person=use).digest()


NO_TOKENS = LeaseTokens()
"""Where there are no keys."""
