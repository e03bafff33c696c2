"""A message that takes long on its link: how far it is, for whoever reads the log of this program.

Promises:

1. What takes longer than SAID_AFTER is said, and again at intervals as long as it lasts, with how much of it is there.
2. What takes less is not worth a word, however much comes one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from penstock.wire.streams import Progress

SAID_AFTER = 10.0
"""Seconds: a person who waits for a large message begins to wonder."""
SAID_AGAIN_AFTER = 60.0
"""Seconds."""


class SlowTransfers:
    """Warns of them; `url` is the pipeline's."""

    def __init__(self, url: str, warn: Callable[[str], None]) -> None:
        self._url = url
        self._warn = warn
        self._seen: dict[str, tuple[Progress, float, float]] = {}
        """With when it was first seen, and when it is said next."""

    def watch(self, transfers: Mapping[str, Progress], now: float) -> None:
        """Look at what is on its way now, by words in which its size is missing."""
        seen, self._seen = self._seen, {}
        for words, progress in transfers.items():
            before, since, due_at = seen.get(words, (progress, now, now + SAID_AFTER))
            if before.size != progress.size or before.done > progress.done:  # another one
                since, due_at = now, now + SAID_AFTER
            if now >= due_at:
                due_at = now + SAID_AGAIN_AFTER
                what = words.format(f"{progress.size / 1e6:.1f} MB")
                self._warn(
                    f"{what} at {self._url}: {progress.done / 1e6:.1f} MB have arrived in {now - since:.0f} s,"
                    " the link is slow"
                )
            self._seen[words] = progress, since, due_at
