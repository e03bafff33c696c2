"""Times and bounds that all processes of a pipeline share. Every constant has a unit and a reason."""

from __future__ import annotations

from collections import Counter

import msgspec

HEARTBEAT_INTERVAL = 1.0
"""Seconds between a worker's heartbeats. Five fit into a lease, so four may be lost."""
BEATS_PER_SECOND = 200.0
"""Heartbeats that the ventilator wants to answer: some per cent of its time. Of more workers each beats less often, and
its silence means something as much later."""
PACE_MAX = 12.0
"""Times the heartbeat interval: after a minute's silence also one of many thousand workers is lost."""
LEASE_TIME = 5.0
"""Seconds of silence after which a worker is lost. A kernel-made disconnect is noticed at once."""
RECONNECT_GRACE = 1.0
"""Seconds a dropped control connection has to come back before its worker is lost: two reconnect intervals."""
UNREPORTED_TIME = 2.5
"""Seconds after which a dealt lease that nobody reported is queued again: two heartbeats and a margin."""
RESEND = 2.0
"""Seconds without an answer after which outcomes, verdicts and requests are sent again."""
RECALL_PATIENCE = 2.0
"""Seconds after which whoever cancels what has not started is told what is known: a worker that stands still may hold
the rest, which is cancelled all the same when it comes back unstarted."""
TRANSIENT_TIME = 60.0
"""Seconds after which a map whose client is gone is cancelled."""
LOG_CHARS = 4000
"""Of a log line: what journald and most collectors take as one."""
IDS_PER_SECOND = 100.0
"""New worker ids of one key: each start of a worker has one, and a cluster starts no more."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer can ask of a socket."""

    frame_bytes: int | None = None
    """A larger frame closes its connection; None: what the protocol allows (MAX_FRAME_BYTES). With less, larger
    arguments and results never arrive."""
    handshake_time: float = 3.0
    """Seconds: who has not shaken hands by then is cut off; the default of 30 s lets strangers hold sockets."""
    connections: int = 10_000
    """At one socket; the newest beyond are cut off. Fewer, if the process may not open as many files."""
    name_chars: int | None = None
    """Of a name that a client gives; None: what the protocol allows (LABEL_CHARS)."""
    log_chars: int = LOG_CHARS
    """Of a line of a station's log; longer ones are cut, whoever made them so."""
    answer_bytes: int = 64 << 20
    """Of answers that one connection has not read, from which on it is answered no further question, and its next ones
    wait: what a client that reads wants at once (its window), and with one answer more the most it can cost."""
    key_answer_bytes: int = 256 << 20
    """The same of all connections with one key, at one socket."""
    answer_time: float = 60.0
    """Seconds: who has as many bytes to read as it may, and reads nothing for so long, is cut off."""
    questions: int = 1_000
    """Of one connection that wait to be answered; more are dropped, and clients ask again by themselves."""
    key_questions: int = 10_000
    """The same of all connections with one key."""
    follows: int = 50_000
    """Batches that one key, or without keys one connection, follows at once."""
    topics: int = 16
    """Of one connection to the control socket, where a worker and the sink have one; with more it is cut off."""
    worker_starts: float = IDS_PER_SECOND
    """Per second and key, in the long run; a hundred times as many at once. More are dropped: such a worker hears
    nothing until it connects again."""


LIMITS = Limits()
"""The usual ones."""


COUNTED_NAMES = 1_000
"""Of which something is counted: keys come and go, and the counts are only for the log."""


def count_one(counts: Counter[str], name: str) -> None:
    """One more of this name. Where there would be too many names, all begin again."""
    if name not in counts and len(counts) >= COUNTED_NAMES:
        counts.clear()
    counts[name] += 1


def is_to_be_logged(count: int) -> bool:
    """Whether a count is 1, 2, 4, 8 and so on: of what others can repeat for ever, these are logged."""
    return count > 0 and not count & (count - 1)
