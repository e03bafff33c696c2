"""Who is of another version of penstock is told which side to upgrade, and so is the ventilator's log.

Promises:

1. A worker or sink is told when it joins, a client when it opens a batch; each once.
2. The words reach releases that do not know them: a client as a Notice, a worker or sink as a message of which its log
   has the beginning.
"""

from __future__ import annotations

from penstock.job.spec import ID_BYTES
from penstock.station.contract import Answer, FromClient
from penstock.ventilator.turn import Turn
from penstock.version import advice
from penstock.wire.desk_messages import Notice, Submit
from penstock.wire.messages import Hello, SinkHead, Upgrade

NO_BATCH = bytes(ID_BYTES)
"""The notice is of all that a client has."""
CLIENTS_MAX = 10_000
"""As many connections as a socket has by default; beyond it some are told twice."""
UNSAID = "older than 0.3"
"""The version of a client or sink that does not say it."""


class OtherVersions:
    """Compares them with this ventilator's `version`; empty: nothing is said."""

    def __init__(self, turn: Turn, version: str) -> None:
        self._turn = turn
        self._version = version
        self._told: set[bytes] = set()

    def on_worker(self, hello: Hello) -> None:
        """A worker joins; one that says no version is no penstock."""
        if hello.version:
            self._compare(hello.worker, hello.version, "worker", worker=hello.name, host=hello.host)

    def on_sink(self, head: SinkHead) -> None:
        """A sink joins."""
        self._compare(head.sink, head.version, "sink", sink=head.sink.hex()[:8])

    def on_submit(self, event: FromClient) -> None:
        """A client submits."""
        submit, client = event.message, event.client
        assert isinstance(submit, Submit)
        if not submit.opens or client in self._told:
            return
        program = submit.program
        version, host, pid = ("", event.address, 0) if program is None else (program.version, program.host, program.pid)
        text = self._advice(version, "client")
        if not text:
            return
        if len(self._told) >= CLIENTS_MAX:
            self._told.clear()
        self._told.add(client)
        fields = {"batch": submit.opens[0].batch.hex(), "key": event.sender.name}
        self._log(version, text, client=f"{host} (process {pid})" if pid else host, **fields)
        said = f"this client has penstock {version or UNSAID}, and the ventilator {self._version}"
        self._turn.say(Answer(client, Notice(NO_BATCH, f"{said}: {text}")))

    def _compare(self, station: bytes, version: str, what: str, **who: str) -> None:
        if text := self._advice(version, what):
            self._log(version, text, **who)
            self._turn.tell(station, Upgrade(text))

    def _advice(self, version: str, what: str) -> str:
        return self._version and advice(version, self._version, f"the {what}", "the ventilator")

    def _log(self, version: str, text: str, **who: str) -> None:
        self._turn.log("other_version", **who, version=version or UNSAID, here=self._version, advice=text)
