"""Views of a pipeline (`Pipeline.options`), and what is submitted through one of them: it shares one limit.

Views of one Pipeline with the same options are one view, however often they are made: the limit of
``p.options(limit=1).submit(f, x)`` in a loop would limit nothing otherwise.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from penstock.job.spec import ID_BYTES, BatchSpec


def group_of(pipeline: bytes, spec: BatchSpec) -> bytes:
    """The name of what a view with these options shares; `pipeline` tells one Pipeline from all others. Instants are
    left out: given as durations they are others at each submit."""
    known = msgspec.structs.replace(spec, not_before_time=0.0, expires_time=None)
    return blake2b(msgspec.msgpack.encode(known), key=pipeline, digest_size=ID_BYTES).digest()


def in_group(spec: BatchSpec, group: bytes) -> BatchSpec:
    """Where there is a limit, that of this group."""
    return spec if spec.limit is None else msgspec.structs.replace(spec, limit_group=group)
