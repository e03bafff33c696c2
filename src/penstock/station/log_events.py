"""The only place that words log lines: an event's name, its level, and its fields as key=value in the order given, or
all of it as an object of JSON.

What comes from a peer or a user is escaped and cut, so that a log line is one line.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from datetime import datetime
from typing import Any

from penstock.station.config import LogFormat
from penstock.station.unblocked_output import UnblockedOutput, for_log
from penstock.wire.bounds import LOG_CHARS

VALUE_CHARS = 400
"""Of one field in a log line; longer ones are cut."""
WAITING_BYTES = 256 << 10
"""Of lines whose reader stalls: about two thousand."""
LAST_FLUSH_TIME = 1.0
"""Seconds that a reader may pause at the end."""

WORDS: dict[str, tuple[int, str]] = {
    "started": (logging.INFO, "up"),
    "joining": (logging.INFO, "waiting for the ventilator"),
    "stopped": (logging.INFO, "down"),
    "no_answer": (logging.WARNING, "waiting for the ventilator, nothing answers there: trying on"),
    "not_joined": (logging.WARNING, "waiting for the ventilator, it is connected and has not let this one join yet"),
    "not_connected": (
        logging.WARNING,
        "waiting to join until all sockets are connected: is the port that is down open, and its station up? trying on",
    ),
    "joined": (logging.INFO, "joined the pipeline"),
    "no_sink": (
        logging.WARNING,
        "waiting for the sink, nothing answers there: outcomes are kept until it does, and no worker joins before",
    ),
    "sink_reached": (logging.INFO, "the sink answers again: outcomes are sent"),
    "lost_link": (logging.WARNING, "the link to the ventilator is lost: waiting for it"),
    "link_down": (logging.WARNING, "joined, but a socket has lost its connection: is its port still open? trying on"),
    "connected_again": (logging.INFO, "all sockets are connected again"),
    "undelivered": (
        logging.ERROR,
        (
            "the sink is up and takes no outcome from here: what has not started is handed back, and nothing is started"
            " until it does; `penstock doctor` here finds the port that is shut, or packets that vanish"
        ),
    ),
    "delivered_again": (logging.INFO, "the sink takes outcomes again: running jobs"),
    "recovered": (logging.INFO, "what was given out before the restart is known; going on"),
    "log_dropped": (logging.WARNING, "nobody read this log, and too much waited: lines were dropped"),
    "stood_still": (logging.WARNING, "this process stood still: all clocks start again"),
    "clock_set": (
        logging.WARNING,
        "the wall clock was set: nothing is deleted for its age until the clock has been steady for a day",
    ),
    "worker_joined": (logging.INFO, "worker joined"),
    "other_version": (logging.WARNING, "two versions of penstock meet, and may not understand each other"),
    "name_taken": (logging.WARNING, "another worker that is connected has this name: a piece of its id is added"),
    "worker_left": (logging.INFO, "worker left"),
    "worker_lost": (logging.WARNING, "worker lost: its jobs are queued again once the sink's log is known"),
    "sink_joined": (logging.INFO, "sink joined"),
    "sink_diverged": (
        logging.ERROR,
        "the sink's log is not the one applied here, its results file lost its end or is another's: comparing all",
    ),
    "damaged": (logging.ERROR, "found damaged on disk, and contained: `penstock check` lists all of it"),
    "compares": (logging.WARNING, "what was lost with damaged rows is compared with the sink's log"),
    "sink_refused": (logging.ERROR, "a sink is refused, and told to end: its file does not go with the one here"),
    "other_pipeline": (
        logging.WARNING,
        "a ventilator of another pipeline is here, on a new or wrong --data: this worker keeps what it holds and waits",
    ),
    "sink_agreed": (
        logging.ERROR,
        (
            "the sink's log is taken as it is: jobs whose outcomes it has lost were opened again, and are dead where"
            " their arguments are no longer kept"
        ),
    ),
    "log_diverged": (
        logging.ERROR,
        (
            "the ventilator asks for a line of the log that is not here: this results file lost its end, or the two"
            " files are not of one pipeline"
        ),
    ),
    "too_many_followers": (logging.WARNING, "a client follows more batches than this sink keeps"),
    "submitted": (logging.INFO, "a batch is accepted"),
    "cancel_asked": (logging.INFO, "jobs of a batch are to be cancelled"),
    "retry_asked": (logging.INFO, "jobs of a batch are to be run again"),
    "delete_asked": (logging.INFO, "a batch is to be deleted"),
    "pause_asked": (logging.INFO, "no job of a batch, or of all, is to start until it is resumed"),
    "resume_asked": (logging.INFO, "a batch, or the whole pipeline, is to go on"),
    "set_asked": (logging.INFO, "a batch is to have another priority or limit; None: it stays"),
    "drain_asked": (logging.INFO, "a worker is to take no more, and leave"),
    "retried": (logging.INFO, "jobs that ended without success were opened again"),
    "results_expired": (logging.INFO, "a batch's results were kept for long enough: deleted"),
    "map_abandoned": (logging.INFO, "a map's client is gone: cancelled"),
    "inventory_refused": (logging.WARNING, "a worker said that it holds what it was not given: not believed"),
    "worker_broken": (logging.WARNING, "a worker can run no jobs: they run elsewhere, or wait for it"),
    "worker_healed": (logging.INFO, "a worker can run jobs again"),
    "not_started": (
        logging.WARNING,
        "a worker could not start a job: others run it, and that worker gets no more of its batch for a while",
    ),
    "nobody_fits": (logging.WARNING, "a batch waits for a worker that is not here"),
    "lost_touch": (logging.WARNING, "nothing heard of the ventilator: starting nothing until it answers"),
    "connects_anew": (logging.WARNING, "nothing heard for a lease time over a connection that is up: connecting anew"),
    "other_address": (logging.WARNING, "a name has another address, or the last one did not answer: connecting there"),
    "no_address": (
        logging.WARNING,
        "the name to listen at has no address yet: waiting a minute for it, DNS may be late",
    ),
    "local_name": (
        logging.WARNING,
        (
            "this machine's own name is an address that only this machine reaches (/etc/hosts): no other host can join;"
            " listen at an address of its network, or at tcp://*:PORT"
        ),
    ),
    "several_addresses": (logging.INFO, "a name with several addresses: listening at those of this machine"),
    "junk_at_control": (
        logging.WARNING,
        "the holder of a key sent what is no subscription: who joins at that moment waits for a lease time",
    ),
    "slot_unfit": (logging.ERROR, "no process can be started for a slot: trying on, and going on with the others"),
    "not_ended": (
        logging.ERROR,
        "a job has left a process that runs on: it is another user's now, so only that user or root can end it",
    ),
    "slot_replaced": (
        logging.INFO,
        "a job has changed its process for those that follow, which run in a new one: let an initializer do that",
    ),
    "broken": (
        logging.ERROR,
        "no process can be started for any slot: this worker runs no jobs until one can; trying on",
    ),
    "healed": (logging.WARNING, "processes can be started again: running jobs"),
    "drains": (logging.INFO, "takes no more, finishes what runs and leaves"),
    "left_undelivered": (
        logging.ERROR,
        "left with outcomes that no sink has taken: the jobs run again when the stations are back",
    ),
    "malformed": (logging.WARNING, "dropped what is no message"),
    "outcome_refused": (logging.WARNING, "an outcome of what its worker was not given: not recorded"),
    "peer_refused": (logging.WARNING, "not let in"),
    "too_many_connections": (
        logging.WARNING,
        "somebody is turned away: there are as many connections as this station may have",
    ),
    "too_many_starts": (logging.WARNING, "more workers start with one key than --worker-starts allows: not let in"),
    "reads_nothing": (
        logging.WARNING,
        "it has much to read, and reads nothing: cut off, or what waits for it is dropped",
    ),
    "too_many_questions": (logging.WARNING, "a client asks more at once than --questions allows: the rest was dropped"),
    "too_many_topics": (logging.WARNING, "cut off: it subscribed to more than --topics allows"),
    "key_added": (logging.INFO, "key added"),
    "key_revoked": (logging.WARNING, "key revoked: its holder is cut off"),
    "keys_unreadable": (logging.ERROR, "the list of keys cannot be read: the last one that could holds"),
    "no_handshake": (
        logging.WARNING,
        "no handshake with who listens there, trying on",
    ),
    "disk_full": (logging.ERROR, "the disk is full: nothing is accepted or said until there is room; nothing is lost"),
    "disk_has_room": (logging.INFO, "the disk has room again: going on"),
    "backup_asked": (logging.INFO, "a copy of the store was asked for, and is begun"),
    "backed_up": (logging.INFO, "a copy of the store is made"),
    "backup_failed": (logging.ERROR, "no copy of the store could be made; nothing else is touched by that"),
    "store_failed": (logging.ERROR, "the store failed: stopping, nothing that was acknowledged is lost"),
}
"""Every event: level and wording."""


class Line(logging.Formatter):
    """A log line of at most so many characters. Its time has the zone: logs of several hosts are read side by side."""

    def __init__(self, chars: int) -> None:
        super().__init__("%(asctime)s %(name)s %(levelname)s %(message)s")
        self._chars = chars

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """As ISO 8601 has it."""
        return at(record)

    def format(self, record: logging.LogRecord) -> str:
        """Cut, if it is longer."""
        line = super().format(record)
        return line if len(line) <= self._chars else f"{line[: self._chars - 3]}..."


class JsonLine(logging.Formatter):
    """A log line as an object of JSON; a field that is no number is text, cut at VALUE_CHARS."""

    def format(self, record: logging.LogRecord) -> str:
        """In ASCII, so that it is one line for whoever reads it."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        said = {
            "time": at(record),
            "station": record.name.removeprefix("penstock."),
            "level": record.levelname,
            "event": getattr(record, "event", ""),
            "text": getattr(record, "words", record.getMessage()),
            "fields": {name: value if _is_plain(value) else _cut(value) for name, value in fields.items()},
        }
        return json.dumps(said, allow_nan=False)


def at(record: logging.LogRecord) -> str:
    """When it was logged, as ISO 8601 has it, with the zone."""
    return datetime.fromtimestamp(record.created).astimezone().isoformat(" ", "milliseconds")


def _is_plain(value: object) -> bool:
    """Whether JSON has it as it is."""
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


class LogHandler(logging.Handler):
    """Writes lines to this descriptor. A reader that stalls holds up nobody: lines wait for it, then are dropped, which
    is said when it reads again."""

    def __init__(self, logger: logging.Logger, fd: int) -> None:
        super().__init__()
        self._logger = logger
        self._output = UnblockedOutput(for_log(fd), WAITING_BYTES)

    def emit(self, record: logging.LogRecord) -> None:
        """Behind what waits."""
        self.catch_up()
        self._output.show(f"{self.format(record)}\n".encode(errors="backslashreplace"))

    def catch_up(self) -> None:
        """Write what waits, as far as there is room."""
        self._output.flush()
        if self._output.has_left_out and not self._output.waits:
            lines, _ = self._output.take_left_out()
            emit(self._logger, "log_dropped", {"lines": lines})

    def flush(self) -> None:
        """At the end: what waits may take a moment."""
        self._output.flush(LAST_FLUSH_TIME)


def setup(station: str, level: str, chars: int = LOG_CHARS, form: LogFormat = "text") -> logging.Logger:
    """The logger of a station, writing to stderr, if there is one, in this form; as text in lines of at most so many
    characters."""
    logger = logging.getLogger(f"penstock.{station}")
    handler = logging.NullHandler() if sys.stderr is None else LogHandler(logger, sys.stderr.fileno())
    handler.setFormatter(JsonLine() if form == "json" else Line(chars))
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    return logger


def catch_up(logger: logging.Logger) -> None:
    """Write what waits for a reader that had stalled."""
    for handler in logger.handlers:
        if isinstance(handler, LogHandler):
            handler.catch_up()


def emit(logger: logging.Logger, event: str, fields: dict[str, Any]) -> None:
    """Write an event to the log."""
    level, words = WORDS[event]
    if logger.isEnabledFor(level):
        pairs = "".join(f" {key}={escape(value)}" for key, value in fields.items())
        extra = {"event": event, "words": words, "fields": fields}
        logger.log(level, "%s: %s%s", event, words, pairs, extra=extra)


def escape(value: object) -> str:
    """A value as one harmless word: control characters escaped, cut at VALUE_CHARS."""
    plain = _cut(value).encode("unicode_escape").decode("ascii")
    return f'"{plain}"' if not plain or " " in plain else plain


def _cut(value: object) -> str:
    """As text, not longer than VALUE_CHARS."""
    text = value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else str(value)
    return text[:VALUE_CHARS] + ("..." if len(text) > VALUE_CHARS else "")
