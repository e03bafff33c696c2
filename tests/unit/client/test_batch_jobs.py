"""The jobs of a batch one by one: put together of what the ventilator and the sink say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from penstock.client.batch_jobs import PAGE, Jobs, Runners, options_of
from penstock.client.records import JobInfo
from penstock.errors import ProtocolError
from penstock.job import payload
from penstock.job.command import CommandTemplate
from penstock.job.spec import FINAL, BatchSpec, JobState, Stamp, job_id
from penstock.wire.desk_messages import (
    Arguments,
    AskArguments,
    AskBatches,
    AskJobs,
    BatchesInfo,
    BatchLine,
    GivenChunk,
    JobLine,
    JobsInfo,
)
from penstock.wire.messages import Fetched
from penstock.wire.records import Note, OutcomeHead

BATCH = bytes(range(16))
CALLS = BatchSpec(title="f", name="n")
COMMANDS = BatchSpec(kind="command")
ECHO = CommandTemplate((b"echo", b"{}", b"{%}"), cwd=b"/work", env={b"A": b"b"}).encode()
EARLIER = ProtocolError("Invalid value")


def line(start: int, stop: int, state: JobState = JobState.QUEUED, **more: Any) -> JobLine:
    return JobLine(BATCH, start, stop, state, **{"stamp": Stamp()} | more)


def row(start: int, stop: int, state: JobState = JobState.SUCCEEDED, **more: Any) -> tuple[OutcomeHead, bytes]:
    body = more.pop("body", b"")
    usual: dict[str, Any] = {"stamp": Stamp(), "final": state in FINAL, "worker": "w"}
    head = OutcomeHead(
        batch=BATCH, start=start, stop=stop, state=state, lease=1, slot=2, started_time=9.0, elapsed=3.0,
        size=len(body), **usual | more,
    )  # fmt: skip
    return head, body


class Stations:
    """A session whose ventilator and sink know this."""

    def __init__(
        self, *, lines: Any = (), rows: Any = (), chunks: Any = (), function: bytes = b"", most: int = 9
    ) -> None:
        self.lines, self.rows, self.chunks, self.function, self.most = lines, rows, chunks, function, most
        self.asked: list[Any] = []

    def ask(self, make: Callable[[int], Any]) -> Any:
        message = make(1)
        self.asked.append(message)
        if isinstance(message, AskBatches):
            return BatchesInfo(1, (BatchLine(BATCH, CALLS, 9, 9, {}, 1, 1.0),))
        assert isinstance(message, AskJobs)
        if self.lines is EARLIER:
            raise EARLIER
        fitting = [one for one in self.lines if one.start < message.stop and message.start < one.stop]
        if not message.batch:
            return JobsInfo(1, tuple(self.lines))
        some = tuple(
            msgspec.structs.replace(one, start=max(one.start, message.start), stop=min(one.stop, message.stop))
            for one in fitting
        )
        return JobsInfo(1, some[: self.most], some[self.most].start if len(some) > self.most else None)

    def request(self, make: Callable[[int], Any]) -> Any:
        return make(1)

    def wait_for(self, message: AskArguments, _: float) -> tuple[Arguments, bytes]:
        self.asked.append(message)
        if self.chunks is EARLIER:
            raise EARLIER
        inside = [one for one in self.chunks if one[0] < message.stop and message.start < one[0] + one[1]]
        first, rest = inside[:1], inside[1:]  # one chunk in each answer
        function = self.function if message.code else b""
        found = tuple(GivenChunk(at, count, len(body), len(body) or 999) for at, count, body in first)
        body = b"".join((function, *(body for _, _, body in first)))
        return Arguments(1, len(function), found, rest[0][0] if rest else None), body

    def fetch(self, make: Callable[[int], Any]) -> tuple[Fetched, bytes]:
        message = make(1)
        self.asked.append(message)
        some = [one for one in self.rows if one[0].start < message.stop and message.start < one[0].stop]
        return Fetched(1, tuple(head for head, _ in some)), b"".join(body for _, body in some)


def jobs(stations: Stations, count: int, *states: str, spec: BatchSpec = CALLS, **more: Any) -> list[JobInfo]:
    return list(Jobs(stations, BATCH, spec).between(0, count, states, **more))  # type: ignore[arg-type]


def chunk(*items: Any) -> bytes:
    return payload.chunk_blob("item", items, "pickle")


def test_each_job_is_in_the_state_that_it_is_in() -> None:
    """Open ones as the ventilator has them, ended ones as the sink does; of two answers the newer try's counts."""
    stations = Stations(
        lines=[
            line(0, 1, JobState.LEASED, running=True, worker="v", host="h", in_slot=(3, 5.0)),
            line(1, 2, JobState.LEASED, worker="v"),
            line(2, 3, JobState.DELAYED, stamp=Stamp(0, 2)),
            line(3, 4, stamp=Stamp(1, 1)),
            line(4, 9),
        ],
        rows=[
            row(2, 3, JobState.FAILED, final=False, note=Note(cause="first")),
            row(3, 4, JobState.FAILED, note=Note(cause="opened again since")),
            row(4, 6),
            row(6, 7, JobState.CANCELLED, note=Note(cause="too late"), worker=""),
            row(9, 10, JobState.DEAD, final=False),
            row(9, 10, JobState.TIMED_OUT, stamp=Stamp(0, 2)),
        ],
        chunks=[(0, 10, chunk(*range(10)))],
    )
    found = jobs(stations, 10)
    assert [one.state for one in found] == [
        *("running", "queued", "delayed", "queued", "succeeded", "succeeded", "cancelled", "queued", "queued"),
        "timed_out",
    ]
    assert [one.text for one in found] == [f"f({n})" for n in range(10)]
    assert [one.cause for one in found] == ["", "", "first", "", "", "", "too late", "", "", ""]
    assert (found[0].worker, found[0].host, found[0].slot, found[0].running) == ("v", "h", 3, 5.0)
    assert (found[5].worker, found[5].slot, found[5].started, found[5].elapsed) == ("w", 2, 9.0, 1.5)
    assert [one.attempts for one in found if one.index in {2, 9}] == [2, 2]
    assert found[0].id == job_id(BATCH, 0)


def test_only_wanted_states_as_many_as_wanted() -> None:
    """In order, over as many pages as it takes."""
    many = 3 * PAGE
    stations = Stations(
        lines=[line(0, many)],
        rows=[row(at, at + 1, JobState.FAILED) for at in range(5, many, PAGE)],
        chunks=[(0, many, chunk(*range(many)))],
    )
    assert [one.index for one in jobs(stations, many, "failed")] == [5, 5 + PAGE, 5 + 2 * PAGE]
    assert [one.index for one in jobs(stations, many, "failed", limit=2)] == [5, 5 + PAGE]
    assert len(jobs(stations, many, "queued")) == many - 3
    assert [one.index for one in jobs(stations, many, "failed", "queued", limit=6)] == [0, 1, 2, 3, 4, 5]


def test_where_only_open_jobs_are_wanted_ended_ones_are_not_looked_at() -> None:
    """Of a million that have ended nothing is fetched."""
    stations = Stations(
        lines=[line(1_000_000, 1_000_002, JobState.LEASED, running=True), line(1_000_002, 1_000_003)],
        chunks=[(1_000_000, 3, chunk("a", "b", "c"))],
    )
    assert [one.text for one in jobs(stations, 1_000_003, "running")] == ["f('a')", "f('b')"]
    assert len(stations.asked) < 6


def test_long_answers_come_in_parts() -> None:
    """Of places and of arguments."""
    stations = Stations(
        lines=[line(at, at + 1, JobState.LEASED, running=at % 2 == 0) for at in range(20)],
        chunks=[(at, 4, chunk(*range(at, at + 4))) for at in range(0, 20, 4)],
        most=3,
    )
    assert [one.text for one in jobs(stations, 20, "running")] == [f"f({at})" for at in range(0, 20, 2)]


def test_a_command_has_its_slot_once_it_is_known() -> None:
    """Waiting, running, ended."""
    stations = Stations(
        lines=[line(0, 1), line(1, 2, JobState.LEASED, running=True, in_slot=(7, 1.0))],
        rows=[row(2, 3)],
        chunks=[(0, 3, msgspec.msgpack.encode([[b"a"], [b"b"], [b"c d"]]))],
        function=ECHO,
    )
    assert [one.text for one in jobs(stations, 3, spec=COMMANDS)] == ["echo a {%}", "echo b 8", "echo 'c d' 3"]
    one = Jobs(stations, BATCH, COMMANDS).one(0, 5.0, "it waits")  # type: ignore[arg-type]
    assert (one.cwd, one.env, one.submitted, one.waits) == ("/work", {"A": "b"}, 5.0, "it waits")


def test_arguments_that_are_no_longer_kept_are_told_from_the_outcome() -> None:
    """Of a command that has its argv; of a call nothing else has them."""
    rows = [row(0, 1, body=msgspec.msgpack.encode([[b"echo", b"a b"]])), row(1, 2, JobState.DEAD)]
    stations = Stations(rows=rows, function=ECHO)
    kept = [one.text for one in jobs(stations, 2, spec=msgspec.structs.replace(COMMANDS, title="echo"))]
    assert kept == ["echo 'a b'", "echo <arguments no longer kept>"]
    assert [one.text for one in jobs(stations, 2)] == ["f(<arguments no longer kept>)"] * 2


def test_large_arguments_are_not_fetched() -> None:
    """The list says so; whoever wants one whole asks for more."""
    stations = Stations(rows=[row(0, 1)], chunks=[(0, 1, b"")])
    assert [one.text for one in jobs(stations, 1)] == ["f(<large arguments>)"]
    (asked,) = [one for one in stations.asked if isinstance(one, AskArguments)]
    list(Jobs(stations, BATCH, CALLS, full=True).between(0, 1))  # type: ignore[arg-type]
    assert stations.asked[-1].each > asked.each


def test_neighbours_are_read_from_one_answer() -> None:
    """Whoever shows failures one by one does not ask for each."""
    stations = Stations(chunks=[(0, 5, chunk(*range(5)))])
    reader = Jobs(stations, BATCH, CALLS)  # type: ignore[arg-type]
    assert [reader.text(index) for index in (3, 1, 4)] == ["f(3)", "f(1)", "f(4)"]
    assert len(stations.asked) == 1


def test_a_long_chunk_is_asked_for_once() -> None:
    """Not again with each page; nor is the function."""
    stations = Stations(lines=[line(0, 4 * PAGE)], chunks=[(0, 3 * PAGE, chunk(*range(3 * PAGE)))], function=b"f")
    texts = [one.text for one in jobs(stations, 4 * PAGE)]
    assert texts[: 3 * PAGE] == [f"f({at})" for at in range(3 * PAGE)]
    assert set(texts[3 * PAGE :]) == {"f(<arguments no longer kept>)"}
    assert [one.code for one in stations.asked if isinstance(one, AskArguments)] == [True, False]


def test_a_ventilator_of_an_earlier_release_is_no_error() -> None:
    """What it cannot say is missing: open jobs are open, and nobody knows what they are."""
    stations = Stations(lines=EARLIER, rows=[row(1, 2)], chunks=EARLIER)
    assert [(one.state, one.text) for one in jobs(stations, 2)] == [("open", ""), ("succeeded", "")]
    assert jobs(stations, 2, "running") == []
    assert Jobs(stations, BATCH, CALLS).text(0) == ""  # type: ignore[arg-type]
    assert Runners(stations).look(5) == []  # type: ignore[arg-type]


def test_what_runs_is_asked_again_and_again_and_what_it_is_once() -> None:
    """The longest first."""
    lines = [line(at, at + 1, JobState.LEASED, running=True, in_slot=(0, float(at))) for at in range(4)]
    stations = Stations(lines=lines, chunks=[(0, 4, chunk(*range(4)))])
    runners = Runners(stations)  # type: ignore[arg-type]
    for _ in range(3):
        assert [(one.text, one.running) for one in runners.look(2)] == [("f(3)", 3.0), ("f(2)", 2.0)]
    assert sum(isinstance(one, AskArguments) for one in stations.asked) == 1


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (BatchSpec(name="n", title="t", owner="o", call=b"c"), {}),
        (
            BatchSpec(retries=2, after=b"\x01" * 16, needs=("gpu",)),
            {"retries": 2, "after": "01" * 16, "needs": ("gpu",)},
        ),
        (BatchSpec(expires_time=9.0, check=False), {"expires": 9.0, "check": False}),
    ],
)
def test_options_are_those_that_were_given(spec: BatchSpec, options: dict[str, Any]) -> None:
    """Under the names that users know."""
    assert options_of(spec) == options
