"""What is recorded of a batch leaves the memory and comes back as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.job.spec import Stamp
from penstock.sink.contract import FromWorker, LinesLost, ReadRows, RecordsLoaded, SaveClaim, SaveRecorded, SaveRow
from penstock.sink.core import SinkCore
from penstock.sink.process import Sink
from penstock.sink.recorded_batches import CHECKPOINT_LINES, RecordedBatches
from penstock.sink.store import ResultStore
from penstock.station import loop
from penstock.station.clock import Clock
from penstock.station.contract import Answer, FromClient, Save
from penstock.station.permissions import Bindings
from penstock.station.recorded_jobs import StoredRecord
from penstock.station.ventilator_contact import VentilatorContact
from penstock.wire.messages import Claim, Claimed, Follow, ForgetBatch, SinkBeat
from support.sink_models import SINK, MemoryResults, arrived, head_of
from support.surroundings import QuietLinks, QuietOrders, logger_to

BATCHES = [bytes([number]) * 16 for number in range(4)]
ONE, TWO = BATCHES[:2]
CLIENT, READER = b"client", b"r" * 16


class Bench:
    """A sink that has one batch in memory, beside those of a turn."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.core = SinkCore(7, self.store.head(), sink=SINK, in_memory=1)
        process = loop.Process(logger_to([]), QuietOrders(), Clock())
        self.station = Sink(self.core, self.store, QuietLinks(), process, Bindings(), VentilatorContact("", 0.0))

    def turn(self, *events: Any) -> list[Any]:
        """All that it decides."""
        actions = [action for event in self.station.before(events) for action in self.core.handle(event, 10.0)]
        actions += self.core.tick(10.0)
        self.core.check()
        self.store.save([action for action in actions if isinstance(action, Save)])
        return actions

    def lines(self, *events: Any) -> list[tuple[bytes, int, int]]:
        """What is recorded in a turn."""
        rows = [action.head for action in self.turn(*events) if isinstance(action, SaveRow)]
        return [(head.batch, head.start, head.stop) for head in rows]


def outcome(batch: bytes, start: int, stop: int, **fields: Any) -> FromWorker:
    """Of these jobs."""
    return arrived((head_of(batch, start, stop, **fields), b""))


@pytest.fixture
def bench() -> Bench:
    """Something is recorded of each batch, one after the other."""
    made = Bench(MemoryResults())
    for batch in BATCHES:
        made.turn(outcome(batch, 0, 4), outcome(batch, 6, 7, final=False, stamp=Stamp(0, 2)))
    return made


def test_those_that_were_spoken_of_last_are_in_memory(bench: Bench) -> None:
    """And for the time of a turn all that it is about; nothing is there at a start."""
    assert bench.core.batches.here == {BATCHES[-1]}
    bench.turn(*(outcome(batch, 8, 9) for batch in BATCHES))
    assert bench.core.batches.here == set(BATCHES)
    bench.turn(outcome(TWO, 9, 10))
    assert bench.core.batches.here == {TWO}
    assert Bench(bench.store).core.batches.here == set()


def test_what_is_recorded_is_not_recorded_again(bench: Bench) -> None:
    """Also if all others were spoken of meanwhile: what is new of it is cut out."""
    assert bench.lines(outcome(ONE, 2, 6)) == [(ONE, 4, 6)]
    assert bench.lines(outcome(ONE, 6, 7, final=False, stamp=Stamp(0, 1)), outcome(ONE, 0, 6)) == []
    assert bench.lines(outcome(ONE, 6, 7, stamp=Stamp(0, 2))) == [(ONE, 6, 7)]


def test_it_would_be_without_a_look_at_the_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: that is what the look is for."""
    monkeypatch.setattr(SinkCore, "absent", lambda *_: set())
    assert bench.lines(outcome(ONE, 2, 6)) == [(ONE, 2, 6)]


def test_who_reads_it_is_told_all_of_it(bench: Bench) -> None:
    """The read goes to the last line that there is; outcomes are shared out as they were."""
    *_, read = bench.turn(FromClient(CLIENT, Follow(ONE, 0, 1 << 20)))
    assert read == ReadRows(CLIENT, ONE, 0, 1 << 20)
    claim = FromClient(CLIENT, Claim(1, ONE, READER, 2, 4))
    assert bench.turn(claim) == [SaveClaim(ONE, READER, 1, 0, 2), Answer(CLIENT, Claimed(1, 0, 2))]
    bench.turn(outcome(TWO, 9, 10))
    assert bench.turn(claim) == [Answer(CLIENT, Claimed(1, 0, 2))]
    more = FromClient(CLIENT, Claim(1, ONE, TWO, 2, 4))
    bench.turn(outcome(TWO, 10, 11))
    assert bench.turn(more)[-1] == Answer(CLIENT, Claimed(1, 2, 4))


def test_it_is_forgotten_when_the_ventilator_has_all_of_it(bench: Bench) -> None:
    """However long ago its last line was."""
    bench.turn(ForgetBatch(ONE))
    bench.turn(SinkBeat(1, 1))
    assert any(row.head.batch == ONE for row in bench.store.rows)
    bench.turn(SinkBeat(2, 2))
    assert not any(row.head.batch == ONE for row in bench.store.rows)


def test_its_lines_since_the_last_checkpoint_are_counted_over_its_absence(bench: Bench) -> None:
    """Else there would be none, and more to read each time."""
    saved: list[Any] = []
    for index in range(CHECKPOINT_LINES):
        saved += bench.turn(outcome(ONE, 10 + index, 11 + index))
        bench.turn(outcome(TWO, 10 + index, 11 + index))
    assert [save.batch for save in saved if isinstance(save, SaveRecorded)] != []


def test_what_leaves_was_saved_in_an_earlier_turn() -> None:
    """So that what is read of it is all of it."""
    batches = RecordedBatches(0)
    batches.claim(head_of(ONE, 0, 1))
    assert batches.close_turn() == []
    assert batches.close_turn() == [ONE]
    batches.take_in(StoredRecord(ONE, ((0, 1),), (), (), (), 1))
    assert batches.close_turn() == []


def test_what_was_lost_comes_before_all_that_is_recorded(tmp_path: Path) -> None:
    """A line that is damaged is found when its batch is looked up: no line of that turn is in the log that was, and
    what is looked up is what is left."""
    bench = Bench(ResultStore(tmp_path, durable=False))
    for batch in (ONE, TWO):
        bench.turn(outcome(batch, 0, 4))
    bench.store.db.execute("UPDATE line SET head = x'00' WHERE seq = 1")
    bench.turn(outcome(BATCHES[3], 0, 1))
    seq, _ = bench.store.head()
    other = LinesLost(("something",), (0, b""), 0, None)
    assert bench.station.before([outcome(BATCHES[3], 0, 1), other])[0] is other
    inputs = bench.station.before([outcome(BATCHES[2], 0, 1), outcome(ONE, 0, 4), outcome(TWO, 0, 4)])
    kinds = [type(one) for one in inputs]
    assert kinds == [LinesLost, RecordsLoaded, FromWorker, FromWorker, FromWorker]
    assert [record.batch for record in inputs[1].records] == [TWO]
    actions = [action for one in inputs for action in bench.core.handle(one, 10.0)]
    rows = [(row.seq, row.head.batch) for row in actions if isinstance(row, SaveRow)]
    assert rows == [(seq + 1, BATCHES[2]), (seq + 2, ONE)]
    bench.store.close()
