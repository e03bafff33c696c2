"""What a job wrote, where it is too much for a note: its parts, in the spools of its slot or here."""

from __future__ import annotations

Extent = tuple[int, int]
"""From where to where in a spool."""
Segments = tuple[bytes | Extent, ...]
"""An output in its parts, one behind the other: bytes, or where they are in the slot's spool."""
Spooled = tuple[Segments, Segments]
"""What a job wrote to stdout and to stderr."""


def size_of(segment: bytes | Extent) -> int:
    """How many bytes the segments have together."""
    return len(segment) if isinstance(segment, bytes) else segment[1] - segment[0]
