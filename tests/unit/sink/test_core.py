"""The sink's promises, one by one; test_sink_machine tries them in every order."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.job.filters import Filter
from penstock.job.spec import JobState, Stamp
from penstock.sink import core as module
from penstock.sink import readers
from penstock.sink.contract import (
    FromWorker,
    LinesRead,
    LogRead,
    ReadFiltered,
    ReadLines,
    ReadLog,
    ReadRows,
    ReadSpan,
    RecordsLoaded,
    SaveRecorded,
    SaveRow,
)
from penstock.sink.core import SinkCore
from penstock.sink.recorded_batches import CHECKPOINT_LINES
from penstock.station.contract import Actions, Answer, DeleteBatch, FromClient, Log, Report
from penstock.wire.desk_messages import Refused
from penstock.wire.filter_messages import FetchedEnded, FetchEnded, FetchFiltered
from penstock.wire.frames import encode
from penstock.wire.messages import (
    Completions,
    Diverged,
    Fetch,
    Follow,
    ForgetBatch,
    Greeting,
    Replay,
    Restate,
    Restated,
    Rows,
    SinkBeat,
    SinkHead,
    Unfollow,
    Verdicts,
)
from penstock.wire.records import UNPAIRED, Message
from support.sink_models import SINK, WORKERS, MemoryResults, arrived, head_of

BATCH, OTHER = b"b" * 16, b"c" * 16


class Bench:
    """A core and a store, one turn at a time."""

    def __init__(self, store: MemoryResults | None = None) -> None:
        self.store = store or MemoryResults()
        self.core = SinkCore(7, self.store.head(), sink=SINK, in_memory=1)
        self.now = 10.0

    def turn(self, *events: Any) -> Actions:
        """What a turn with these events comes to."""
        actions: Actions = []
        for event in events:
            if absent := self.core.absent(event):
                records, claims = self.store.records(absent)
                self.core.handle(RecordsLoaded(tuple(records), tuple(claims)), self.now)
            actions += self.core.handle(event, self.now)
            self.core.check()
        actions += self.core.tick(self.now)
        self.core.check()
        self.store.save(actions)
        return actions

    def reports(self, *events: Any) -> list[Message]:
        """What the ventilator hears of it."""
        return [action.message for action in self.turn(*events) if isinstance(action, Report)]

    def log_read(self, after: int, limit: int) -> LogRead:
        """What the store says."""
        chain, lines, more = self.store.log_after(after, limit)
        return LogRead(after, chain, lines, more)


def outcome(start: int, stop: int, body: bytes = b"", batch: bytes = BATCH, **fields: Any) -> FromWorker:
    """A worker's message with one record."""
    return arrived((head_of(batch, start, stop, size=len(body), **fields), body))


def saved(actions: Actions) -> list[SaveRow]:
    """The lines among some actions."""
    return [action for action in actions if isinstance(action, SaveRow)]


def seqs(reports: list[Message]) -> list[int]:
    """The numbers of the lines in some reports."""
    return [line.seq for report in reports if isinstance(report, Completions) for line in report.records]


@pytest.fixture
def bench() -> Bench:
    """A sink with an empty file whose first head is told."""
    made = Bench()
    made.turn()
    return made


def test_an_overlap_is_cut_down_to_what_is_new(bench: Bench) -> None:
    """Each new part is a line with the whole body; `offset` says where its values begin."""
    bench.turn(outcome(4, 6, b"first"))
    rows = saved(bench.turn(outcome(2, 9, b"second", offset=10)))
    assert [(row.seq, row.head.start, row.head.stop, row.head.offset) for row in rows] == [(2, 2, 4, 10), (3, 6, 9, 14)]
    assert [(row.body, row.head.size, row.head.worker) for row in rows] == [(b"second", 6, "ada")] * 2
    assert saved(bench.turn(outcome(2, 9, b"third"))) == []


def test_a_verdict_is_recorded_like_a_workers_outcome(bench: Bench) -> None:
    """If none is yet; it has no worker and no value."""
    dead = head_of(BATCH, 0, 2, state=JobState.DEAD)
    bench.turn(outcome(0, 1))
    (row,) = saved(bench.turn(Verdicts((dead,))))
    assert (row.head.start, row.head.stop, row.worker, row.body, row.head.state) == (1, 2, b"", b"", JobState.DEAD)


def test_lines_are_numbered_and_told_once_in_order(bench: Bench) -> None:
    """One report for all that some turns brought, then the head."""
    reports = bench.reports(outcome(0, 1), outcome(1, 2, final=False), SinkBeat(3, 0))
    assert seqs(reports) == [1, 2]
    seq, chain = bench.store.head()
    assert reports[1:] == [SinkHead(SINK, 7, seq, chain, 3, pipeline=UNPAIRED, parts=True)]
    assert bench.reports(outcome(2, 3), outcome(0, 1)) == []
    assert bench.core.next_wakeup() == bench.now + module.TELL_DELAY
    assert bench.reports(outcome(3, 4)) == []
    bench.now += module.TELL_DELAY
    assert seqs(bench.reports()) == [3, 4]
    assert bench.reports() == []


def test_followers_are_served_at_once_and_many_lines_do_not_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the ventilator is told a little later, and not of more than TELL_LINES."""
    monkeypatch.setattr(module, "TELL_LINES", 2)
    bench.turn()
    assert bench.reports(outcome(0, 1)) == []
    assert seqs(bench.reports(outcome(1, 2))) == [1, 2]


def test_the_head_is_told_at_the_start_and_at_each_interval() -> None:
    """A ventilator that comes up is greeted at once."""
    bench = Bench()
    head = SinkHead(SINK, 7, 0, b"", 0, pipeline=UNPAIRED, parts=True)
    assert bench.core.next_wakeup() == 0.0
    assert bench.reports() == [head]
    assert bench.reports() == []
    assert bench.core.next_wakeup() == bench.now + 1.0
    assert bench.reports(Greeting(1, 1, 5.0, 1.0)) == [head]
    bench.now += 1.0
    assert bench.reports() == [head]


def test_the_same_attempt_is_logged_once(bench: Bench) -> None:
    """An equal or older stamp changes nothing."""
    second = Stamp(0, 2, 0)
    assert len(saved(bench.turn(outcome(0, 1, final=False, stamp=second)))) == 1
    assert saved(bench.turn(outcome(0, 1, final=False, stamp=second), outcome(0, 1, final=False))) == []


def test_what_no_worker_should_send_is_dropped(bench: Bench) -> None:
    """An empty span, an open state: counted, and nothing else happens."""
    assert saved(bench.turn(outcome(3, 3), outcome(5, 4), outcome(0, 1, state=JobState.LEASED))) == []
    assert bench.core.refused == 3


def test_a_replay_tells_every_line_behind_the_one_it_names(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In slices, one per turn; no head in between; what is new comes with it, once."""
    monkeypatch.setattr(module, "LOG_LINES", 2)
    for index in range(5):
        bench.turn(outcome(index, index + 1))
    chain = bench.store.rows[0].chain
    assert bench.turn(Replay(1, chain), SinkBeat(1, 1))[-1] == ReadLog(1, 2)
    assert seqs(bench.reports(bench.log_read(1, 2), outcome(5, 6))) == [2, 3]
    assert bench.core.next_wakeup() == 0.0
    assert bench.turn(outcome(6, 7))[-1] == ReadLog(3, 2)
    assert bench.turn() == []  # one read under way
    assert seqs(bench.reports(bench.log_read(3, 2))) == [4, 5]
    assert bench.turn() == [ReadLog(5, 2)]
    reports = bench.reports(bench.log_read(5, 2), outcome(7, 8))
    assert seqs(reports) == [6, 7, 8]
    assert reports[-1] == SinkHead(SINK, 7, 8, bench.store.head()[1], 1, pipeline=UNPAIRED, parts=True)
    bench.reports(outcome(8, 9))
    bench.now += module.TELL_DELAY
    assert seqs(bench.reports()) == [9]


def test_no_lines_hold_up_a_slow_link(bench: Bench) -> None:
    """Of 3,000, as they are recorded, in a replay, and restated: frames of half a second at 1 Mbit/s at most."""
    reports = bench.reports(*[outcome(index, index + 1) for index in range(3_000)])
    told = [one for one in reports if isinstance(one, Completions)]
    assert seqs([*told]) == list(range(1, 3_001))
    assert bench.turn(Replay(1, bench.store.rows[0].chain))[-1] == ReadLog(1, module.LOG_LINES)
    again = bench.reports(bench.log_read(1, module.LOG_LINES))
    (asked,) = [one for one in bench.turn(Restate(0)) if isinstance(one, ReadLines)]
    (restated,) = bench.reports(LinesRead(0, 0, 0, b"", told[0].records[: asked.limit]))
    assert isinstance(restated, Restated)
    assert len(restated.records) == asked.limit
    assert max(len(encode(one)) for one in [*told, *again, restated]) <= 64 << 10


def test_a_replay_from_the_end_is_answered_by_the_head(bench: Bench) -> None:
    """Nothing is read."""
    bench.turn(outcome(0, 1))
    seq, chain = bench.store.head()
    assert bench.reports(Replay(seq, chain)) == [SinkHead(SINK, 7, seq, chain, 0, pipeline=UNPAIRED, parts=True)]


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_log_with_another_chain_is_diverged(bench: Bench, seq: int) -> None:
    """Before its end, at it, or shorter than what was applied."""
    bench.turn(outcome(0, 1), outcome(1, 2))
    actions = bench.turn(Replay(seq, b"another one here"))
    if actions == [ReadLog(seq, module.LOG_LINES)]:
        actions = bench.turn(bench.log_read(seq, 9))
    assert Report(Diverged(SINK, 7, seq)) in actions
    assert Log("log_diverged", {"asked": seq, "end": 2}) in actions


def test_an_answer_to_an_earlier_replay_is_void(bench: Bench) -> None:
    """Only what was asked for last counts, and only once."""
    for index in range(4):
        bench.turn(outcome(index, index + 1))
    chains = [row.chain for row in bench.store.rows]
    bench.turn(Replay(1, chains[0]))
    early = bench.log_read(1, 9)
    bench.turn(Replay(2, chains[1]))
    assert seqs(bench.reports(early)) == []
    assert seqs(bench.reports(bench.log_read(2, 9))) == [3, 4]
    assert seqs(bench.reports(bench.log_read(2, 9))) == []


def test_a_replay_goes_on_behind_what_was_applied_meanwhile(bench: Bench) -> None:
    """Even if the lines before that are deleted by then: that is no divergence."""
    bench.turn(outcome(0, 1), outcome(0, 1, batch=OTHER), outcome(1, 2, batch=OTHER), outcome(2, 3, batch=OTHER))
    bench.turn(Replay(0, b""))
    actions = bench.turn(ForgetBatch(BATCH), SinkBeat(1, 3))
    assert DeleteBatch(BATCH) in actions
    assert bench.turn(bench.log_read(0, 9)) == [ReadLog(3, module.LOG_LINES)]
    assert seqs(bench.reports(bench.log_read(3, 9))) == [4]
    bench.turn(Replay(3, bench.store.rows[1].chain))
    assert bench.reports(SinkBeat(2, 4)) == [
        SinkHead(SINK, 7, 4, bench.store.head()[1], 2, pipeline=UNPAIRED, parts=True)
    ]


def test_a_batch_is_forgotten_when_its_last_line_is_applied(bench: Bench) -> None:
    """Not before; a late outcome of it changes nothing, then and later."""
    bench.turn(outcome(0, 2))
    assert bench.turn(ForgetBatch(BATCH)) == []
    assert saved(bench.turn(outcome(2, 3))) == []
    assert DeleteBatch(BATCH) not in bench.turn(SinkBeat(1, 0))
    assert DeleteBatch(BATCH) in bench.turn(SinkBeat(2, 1))
    assert DeleteBatch(BATCH) not in bench.turn(SinkBeat(3, 1), ForgetBatch(BATCH))
    assert saved(bench.turn(outcome(0, 2), Verdicts((head_of(BATCH, 0, 1),)))) == []


def test_only_so_many_forgotten_batches_are_remembered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of those that are gone is dropped from memory."""
    monkeypatch.setattr(module, "FORGOTTEN_BATCHES", 1)
    bench.turn(outcome(0, 1), outcome(0, 1, batch=OTHER))
    bench.turn(SinkBeat(1, 2), ForgetBatch(BATCH), ForgetBatch(OTHER))
    assert saved(bench.turn(outcome(0, 1, batch=OTHER))) == []
    assert len(saved(bench.turn(outcome(0, 1)))) == 1


def test_followers_of_a_forgotten_batch_are_dropped(bench: Bench) -> None:
    """There is nothing more to follow."""
    bench.turn(outcome(0, 1), FromClient(b"ada", Follow(BATCH, 1, 1000)))
    bench.turn(ForgetBatch(BATCH), SinkBeat(1, 1))
    assert bench.turn(FromClient(b"ada", Unfollow(BATCH))) == []


def test_rows_leave_with_the_turn_that_saves_them(bench: Bench) -> None:
    """One message for all of a turn, in the order of recording."""
    bench.turn(FromClient(b"ada", Follow(BATCH, 0, 1 << 20, 5)))
    actions = bench.turn(outcome(4, 5, b"four"), outcome(1, 2, b"one"), outcome(0, 1, batch=OTHER))
    (answer,) = [action for action in actions if isinstance(action, Answer)]
    assert isinstance(answer.message, Rows)
    assert (answer.client, answer.payload, answer.message.position, answer.message.number) == (b"ada", b"fourone", 2, 5)
    assert actions.index(answer) > max(actions.index(row) for row in saved(actions))


def test_who_follows_in_the_turn_of_an_outcome_gets_it_once(bench: Bench) -> None:
    """By the read that comes after the commit."""
    actions = bench.turn(outcome(0, 1, b"x"), FromClient(b"ada", Follow(BATCH, 0, 1 << 20)))
    assert [action for action in actions if isinstance(action, ReadRows)] == [ReadRows(b"ada", BATCH, 0, 1 << 20)]
    assert not [action for action in actions if isinstance(action, Answer) and isinstance(action.message, Rows)]


def test_a_fetch_is_answered_from_the_store(bench: Bench) -> None:
    """Whatever is recorded of these jobs."""
    assert bench.turn(FromClient(b"ada", Fetch(3, BATCH, 0, 9, (4, 7)))) == [ReadSpan(b"ada", 3, BATCH, 0, 9, (4, 7))]


def test_what_has_ended_is_said_in_spans(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the jobs that are asked for, in order, and so many in an answer."""
    bench.turn(outcome(0, 3), outcome(5, 6), outcome(8, 20))
    ask = FromClient(b"ada", FetchEnded(3, BATCH, 2, 10))
    assert bench.turn(ask) == [Answer(b"ada", FetchedEnded(3, ((2, 3), (5, 6), (8, 10))))]
    monkeypatch.setattr(readers, "ENDED_SPANS", 2)
    assert bench.turn(ask) == [Answer(b"ada", FetchedEnded(3, ((2, 3), (5, 6)), 6))]


def test_a_filter_is_answered_from_the_store_or_refused_in_words(bench: Bench) -> None:
    """One of a later release may have other fields."""
    known, unknown = (FetchFiltered(3, where, (), 9) for where in ("state=failed", "colour=red"))
    assert bench.turn(FromClient(b"ada", known)) == [ReadFiltered(b"ada", known, Filter.parse("state=failed"))]
    (answer,) = bench.turn(FromClient(b"ada", unknown))
    assert isinstance(answer, Answer)
    assert isinstance(answer.message, Refused)
    assert "there is no field 'colour'" in answer.message.text


def test_a_checkpoint_is_written_now_and_then(bench: Bench) -> None:
    """So that a start reads a few lines of each batch, not all."""
    actions = bench.turn(*[outcome(2 * index, 2 * index + 1) for index in range(CHECKPOINT_LINES)])
    assert not [action for action in actions if isinstance(action, SaveRecorded)]
    actions = bench.turn(outcome(0, 2 * CHECKPOINT_LINES), outcome(99, 100, final=False))
    assert [action for action in actions if isinstance(action, SaveRecorded)] == [
        SaveRecorded(BATCH, ((0, 2 * CHECKPOINT_LINES),), (), ((99, 100, Stamp()),))
    ]


def test_a_new_life_goes_on_where_the_file_ends(bench: Bench) -> None:
    """What is recorded is not recorded again, and the log goes on without a gap."""
    bench.turn(outcome(0, 4), outcome(6, 7, final=False, stamp=Stamp(0, 2, 0)))
    again = Bench(bench.store)
    assert saved(again.turn(outcome(0, 4), outcome(6, 7, final=False))) == []
    (row,) = saved(
        again.turn(
            outcome(3, 5),
        )
    )
    assert (row.seq, row.head.start, row.worker) == (3, 4, WORKERS[0])
