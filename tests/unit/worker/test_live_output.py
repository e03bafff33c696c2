"""What running jobs write, on its way from a worker through the sink to who looks on."""

from __future__ import annotations

from penstock.job.spec import BatchSpec, Stamp
from penstock.sink.followers import Followers
from penstock.sink.live_output import LiveOutput as SinkLiveOutput
from penstock.station.contract import Answer, Report
from penstock.station.lease_tokens import NO_TOKENS, Grant, LeaseTokens
from penstock.wire.bounds import RESEND
from penstock.wire.messages import Credit, Follow, Live, LiveAck, LiveTaken, Prints, print_cost
from penstock.wire.records import Print
from penstock.worker import live_output as module
from penstock.worker.contract import DeliverLiveOutput, JobPrinted, SinkConnected
from penstock.worker.live_output import LiveOutput
from support.core_benches import BATCH, WorkerBench, of, runs

SINK, WORKER = b"s" * 16, b"w" * 16


def head(size: int = 100, *, lease: int = 7, index: int = 3, position: int = 0) -> Print:
    """Some bytes of a job's."""
    return Print(BATCH, index, lease, Stamp(), is_error=False, position=position, size=size)


def connected() -> LiveOutput:
    """With a connection to the sink."""
    prints = LiveOutput()
    prints.reconnected()
    return prints


def fill(prints: LiveOutput, now: float, *, messages: int = 100) -> list[DeliverLiveOutput]:
    """A large write in each of some turns; what was sent."""
    sent: list[DeliverLiveOutput] = []
    for _ in range(messages):
        prints.add(head(1 << 16), b"", b"token")
        sent += of(DeliverLiveOutput, prints.deliver(now))
    return sent


def test_what_is_under_way_is_bounded_and_an_answer_makes_room() -> None:
    """Numbers that were asked for come back; what waits goes first then, and what was too much is gone."""
    prints = connected()
    sent = fill(prints, 0.0, messages=200)
    cost = print_cost(head(1 << 16))
    assert (len(sent) - 1) * cost < module.LIVE_BYTES <= len(sent) * cost
    number = max(message.number for message in sent)
    assert 0 < number <= len(sent) * cost
    prints.acknowledged(number)
    more = of(DeliverLiveOutput, prints.deliver(1.0)) + fill(prints, 1.0, messages=0)
    assert 0 < sum(len(message.records) for message in more) * cost <= module.LIVE_BYTES + module.WAITING_BYTES


def test_what_is_written_before_the_sink_is_there_waits_for_it() -> None:
    """A worker has its first jobs when it has the ventilator."""
    prints = LiveOutput()
    prints.add(head(), b"first", b"")
    assert prints.deliver(0.0) == []
    prints.reconnected()
    assert [message.bodies for message in of(DeliverLiveOutput, prints.deliver(0.0))] == [(b"first",)]


def test_a_lost_answer_is_asked_for_again_with_nothing_in_it() -> None:
    """A sink that stands still is not filled up by that."""
    prints = connected()
    sent = fill(prints, 0.0)
    assert prints.deliver(RESEND / 2) == []
    (again,) = of(DeliverLiveOutput, prints.deliver(RESEND))
    assert (again.records, again.number) == ((), max(message.number for message in sent) + _rest(sent))
    prints.acknowledged(again.number)
    assert of(DeliverLiveOutput, prints.deliver(RESEND))[0].records


def _rest(sent: list[DeliverLiveOutput]) -> int:
    """Bytes behind the last number that was asked for."""
    total = sum(print_cost(record) for message in sent for record in message.records)
    return total - max(message.number for message in sent)


def test_a_new_connection_begins_with_nothing_under_way() -> None:
    """What was in the old one has arrived or is lost."""
    prints = connected()
    fill(prints, 0.0)
    prints.reconnected()
    assert of(DeliverLiveOutput, prints.deliver(0.0))


def test_only_jobs_of_a_live_batch_are_shown_while_they_run() -> None:
    """Each in a piece of its own, with the token and the number of its lease; before their outcomes."""
    for live in (True, False):
        bench = WorkerBench()
        bench.turn(SinkConnected())
        (run,) = runs(bench.turn(bench.jobs(0, 9, spec=BatchSpec(live=live))))
        sent = of(DeliverLiveOutput, bench.turn(JobPrinted(run.slot, run.piece, ((5, b"out"), (0, b"")))))
        records = [one for message in sent for one in message.records]
        stamp = bench.inventory[0].stamp
        assert records == ([Print(BATCH, 0, bench.number(), stamp, False, 5, 3)] if live else [])
        assert bench.turn(JobPrinted(run.slot, run.piece + 1, ((5, b"out"), (0, b"")))) == []
        bench.turn(LiveAck(10))


def live_output(lease_tokens: LeaseTokens = NO_TOKENS, *, credit: int = 1000) -> tuple[SinkLiveOutput, Followers]:
    """With one client who looks on and one who only follows."""
    followers = Followers(1)
    followers.follow(b"ada", Follow(BATCH, 0, 0, 1, credit), 0, 0.0)
    followers.follow(b"bob", Follow(BATCH, 0, 1000, 1), 0, 0.0)
    return SinkLiveOutput(SINK, lease_tokens, followers), followers


def test_who_asked_for_it_is_given_it_as_far_as_the_credit_goes() -> None:
    """What is beyond is dropped; credit that is given back makes room."""
    handed_on, followers = live_output(credit=2 * print_cost(head()))
    event = Prints(WORKER, "w", (head(),)), (b"x" * 100,)
    answer = Answer(b"ada", Live(BATCH, (head(),)), b"x" * 100)
    assert [handed_on.on_live_output(*event) for _ in range(3)] == [[answer], [answer], []]
    followers.credit(b"ada", Credit(BATCH, 0, print_cost(head())), 0, 0.0)
    assert handed_on.on_live_output(*event) == [answer]


def test_the_sink_says_back_the_number_of_what_came() -> None:
    """Through the ventilator, which tells the worker."""
    handed_on, _ = live_output()
    event = Prints(WORKER, "w", (), (), 77), ()
    assert handed_on.on_live_output(*event) == [Report(LiveTaken(SINK, WORKER, 77))]


def test_a_worker_speaks_for_the_jobs_it_was_given_only() -> None:
    """Where there are keys, a token of the lease must come along."""
    lease_tokens = LeaseTokens(b"key")
    handed_on, _ = live_output(lease_tokens)
    token = lease_tokens.token(Grant(7, BATCH, 3, 4, Stamp()))
    for mine, tokens, expected in [
        (head(), (token,), 1),
        (head(), (), 0),
        (head(), (b"x" * 40,), 0),
        (head(index=4), (token,), 0),
        (head(lease=8), (token,), 0),
    ]:
        actions = handed_on.on_live_output(Prints(WORKER, "w", (mine,), tokens), (b"x" * 100,))
        assert len(of(Answer, actions)) == expected
    assert handed_on.refused == 4
