"""Single submits joined into batches, and their Futures."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, wait
from typing import Any

import msgspec
import pytest

from penstock.client import single_submits as module
from penstock.client.functions import Function
from penstock.client.futures import JobFuture, failed
from penstock.client.once import OneJob
from penstock.client.session import UNACCEPTED_BYTES
from penstock.client.single_submits import Stream, Streams
from penstock.errors import JobCancelled, JobDied, NoPipeline, NoSuchBatch, ResultNotPicklable, StoreError
from penstock.job.payload import call_blob
from penstock.job.spec import BatchSpec, JobState
from penstock.wire.desk_messages import Accepted, AskGone, Cancel, Cancelled, Gone, GoneLine, Refused, Submit
from penstock.wire.messages import Follow, Unfollow
from penstock.wire.records import OutcomeHead
from support.recording_client import World, failure, rows, submitted, values
from support.stations import LIMIT

ONE, TWO = Function.of(b"one"), Function.of(b"two")
SPEC = BatchSpec()


class Client:
    """Streams on a recording wire."""

    def __init__(self) -> None:
        self.streams = Streams()
        self.world = World(self.streams)
        self.wire = self.world.wire
        self.streams.session = self.world

    def submit(self, *args: object, function: Function = ONE, spec: BatchSpec = SPEC) -> JobFuture[Any]:
        """One job, submitted at the next turn."""
        return self.streams.submit(spec, function, call_blob(args, {}, "pickle"))

    def turn(self) -> list[Submit]:
        """What leaves now."""
        self.world.turn()
        return [message for message in self.wire.taken("desk") if isinstance(message, Submit)]

    def outcomes(self, future: JobFuture[Any], after: int, *some: tuple[OutcomeHead, bytes]) -> None:
        """Outcomes of the future's batch."""
        batch = future.place[0]
        heads = [(msgspec.structs.replace(head, batch=batch), body) for head, body in some]
        self.world.arrive("results", *rows(after, *heads, batch=batch))


@pytest.fixture
def client() -> Client:
    """Nothing submitted yet."""
    return Client()


def test_submits_of_one_function_join_one_batch(client: Client) -> None:
    """And one chunk, if they come before the next turn."""
    first, second = client.submit(1), client.submit(2)
    (submit,) = client.turn()
    assert [one.spec for one in submit.opens] == [SPEC]
    assert (submit.opens[0].function, client.wire.payloads[0][: submit.opens[0].size]) == (ONE.digest, b"one")
    ((start, items),) = submitted(submit, client.wire.payloads[0])
    assert (start, [pickle.loads(item) for item in items]) == (0, [((1,), {}), ((2,), {})])
    assert [first.job_id, second.job_id] == [f"{submit.opens[0].batch.hex()}:{index}" for index in range(2)]


def test_later_submits_go_on_in_the_same_batch(client: Client) -> None:
    """Without the function."""
    client.submit(1)
    client.turn()
    third = client.submit(2)
    (submit,) = client.turn()
    assert (submit.opens, [chunk.first for chunk in submit.chunks]) == ((), [1])
    assert third.job_id.endswith(":1")


def test_other_options_or_functions_are_other_batches(client: Client) -> None:
    """A batch has one of each."""
    client.submit(1)
    client.submit(1, function=TWO)
    client.submit(1, spec=BatchSpec(retries=1))
    (submit,) = client.turn()
    assert len({one.batch for one in submit.opens}) == 3


def test_a_batch_is_followed_from_its_first_submit(client: Client) -> None:
    """With its whole window."""
    future = client.submit(1)
    client.turn()
    client.world.turn()
    assert client.wire.taken("results") == [Follow(future.place[0], 0, module.WINDOW, 1, parts=True)]


def test_chunks_are_bounded_by_count_and_bytes(client: Client) -> None:
    """A large argument does not wait for, nor hold up, many small ones."""
    for size in [10] * 1500 + [900_000] * 3:
        client.submit(bytes(size))
    counts = [chunk.count for submit in client.turn() for chunk in submit.chunks]
    assert counts == [1000, 501, 1, 1]


def test_outcomes_settle_their_futures(client: Client) -> None:
    """Values, errors, in whatever order."""
    a, b, c = (client.submit(n) for n in range(3))
    client.turn()
    client.outcomes(a, 0, values(1, "b", "c"), failure(0, "killed by SIGSEGV", JobState.DEAD))
    assert (b.result(0), c.result(0)) == ("b", "c")
    with pytest.raises(JobDied, match="killed by SIGSEGV"):
        a.result(0)
    assert client.streams.futures() == []


def test_a_value_that_cannot_be_rebuilt_is_the_error_of_its_future(client: Client) -> None:
    """And of nobody else's."""
    future = client.submit(1)
    client.turn()
    client.outcomes(future, 0, (msgspec.structs.replace(values(0, 1)[0], size=4), b"\x80bad"))
    assert isinstance(future.exception(0), ValueError)


class Leaves:
    """Ends whoever rebuilds it."""

    def __reduce__(self) -> tuple[object, ...]:
        return sys.exit, ("x",)


def test_a_value_that_ends_who_rebuilds_it_is_an_error_of_ours(client: Client) -> None:
    """SystemExit would end the waiter, not the job; whatever comes next goes on."""
    one, two = client.submit(1), client.submit(2)
    client.turn()
    client.outcomes(one, 0, values(0, Leaves()), values(1, "two"))
    error = one.exception(0)
    assert isinstance(error, ResultNotPicklable)
    assert isinstance(error.__cause__, SystemExit)
    assert "raised SystemExit" in str(error)
    assert two.result(0) == "two"


def leave(_: object) -> None:
    """A callback that would end its thread."""
    sys.exit("x")


def test_a_callback_ends_nothing(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the thread it is called in, nor the callbacks behind it."""
    one, two = client.submit(1), client.submit(2)
    seen: list[object] = []
    client.world.delivery.is_here = True  # type: ignore[misc]  # the test is the thread
    one.add_done_callback(leave)
    one.add_done_callback(lambda _: seen.append("next"))
    client.turn()
    client.outcomes(one, 0, values(0, "one", "two"))
    assert (seen, one.result(0), two.result(0)) == (["next"], "one", "two")
    assert "SystemExit" in caplog.text
    client.world.delivery.is_here = False  # type: ignore[misc]
    with pytest.raises(SystemExit):
        one.add_done_callback(leave)  # called here and now: it is the caller's own


class FalseError(Exception):
    """An exception that is false."""

    def __bool__(self) -> bool:
        return False


def test_an_error_that_is_false_is_an_error(client: Client) -> None:
    """Raised, and not taken for none."""
    future = client.submit(1)
    client.turn()
    head, _ = failure(0, "it failed")
    body = pickle.dumps(FalseError("no"))
    client.outcomes(future, 0, (msgspec.structs.replace(head, size=len(body)), body))
    with pytest.raises(FalseError, match="no"):
        future.result(0)
    assert isinstance(future.exception(0), FalseError)


def test_what_waits_for_callbacks_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its window is given back when it was delivered, not when it came."""
    waiting: list[Callable[[], object]] = []
    monkeypatch.setattr(client.world.delivery, "put", waiting.append)
    monkeypatch.setattr(Stream, "window", 4000)
    future = client.submit(1)
    client.turn()
    client.outcomes(future, 0, values(0, bytes(3000)))
    (stream,) = client.streams.living()
    assert (stream._follower.held > 3000, future.done()) == (True, False)
    waiting.pop()()
    assert (stream._follower.held, len(future.result(0))) == (0, 3000)


def test_a_failed_submit_is_a_done_future_without_an_id() -> None:
    """Its error is there when submit returns."""
    future = failed(pickle.PicklingError("no"))
    assert (future.done(), future.job_id, future.cancel()) == (True, "", False)
    with pytest.raises(ValueError, match="never submitted"):
        future.place  # noqa: B018 - it raises


def test_closing_tells_the_total_and_the_next_submit_opens_another_batch(client: Client) -> None:
    """So that others can read the closed one to its end."""
    future = client.submit(1)
    client.streams.close_open()
    again = client.submit(2)
    (submit,) = client.turn()
    assert [(one.batch, one.total) for one in submit.closes] == [(future.place[0], 1)]
    assert future.place[0] != again.place[0]


def test_a_closed_batch_is_left_when_its_last_future_is_settled(client: Client) -> None:
    """Not earlier."""
    future = client.submit(1)
    client.streams.close_open()
    client.turn()
    client.world.turn()
    assert [type(message) for message in client.wire.taken("results")] == [Follow]
    client.outcomes(future, 0, values(0, "x"))
    assert client.wire.taken("results") == [Unfollow(future.place[0])]
    assert client.streams.living() == []


def test_only_the_most_recently_used_batches_stay_open(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that makes a new lambda for each submit leaves no thousand open batches."""
    monkeypatch.setattr(module, "OPEN_STREAMS", 2)
    futures = [client.submit(1, function=Function.of(b"f%d" % number)) for number in range(5)]
    (submit,) = client.turn()
    assert [one.batch for one in submit.closes] == [future.place[0] for future in futures[:3]]


def test_a_job_that_nobody_has_is_cancelled(client: Client) -> None:
    """The ventilator says whether."""
    one, two = client.submit(1), client.submit(2)
    client.turn()
    client.world.later.append(lambda: client.world.arrive("desk", Cancelled(2, 1)))
    assert one.cancel()
    assert client.wire.taken("desk") == [Cancel(2, one.place[0], 0, 1, unstarted_only=True)]
    client.world.later.append(lambda: client.world.arrive("desk", Cancelled(3, 0)))
    assert not two.cancel()
    assert (one.cancelled(), two.cancelled()) == (True, False)
    assert wait([one], 0).done == {one}
    client.outcomes(one, 0, failure(0, "cancelled", JobState.CANCELLED), values(1, "two"))
    assert two.result(0) == "two"


def test_a_job_that_has_not_left_is_taken_back(client: Client) -> None:
    """At once, whoever is away: the others keep their indexes, and its place says that it is cancelled."""
    client.world.is_away = True
    one, two, three = (client.submit(n) for n in range(3))
    assert (two.cancel(), two.cancelled(), two.cancel()) == (True, True, True)
    (submit,) = client.turn()
    assert [(chunk.first, chunk.count, chunk.cancelled) for chunk in submit.chunks] == [(0, 3, ((1, 2),))]
    ((_, items),) = submitted(submit, client.wire.payloads[0])
    assert [pickle.loads(item)[0][0] for item in items if item] == [0, 2]
    client.outcomes(one, 0, values(0, "one"), failure(1, "cancelled", JobState.CANCELLED), values(2, "three"))
    assert (one.result(0), two.cancelled(), three.result(0)) == ("one", True, "three")
    assert client.streams.futures() == []


def test_a_command_that_has_not_left_is_taken_back(client: Client) -> None:
    """Its place is a list of no words."""
    spec = BatchSpec(kind="command")
    one, two = (client.streams.submit(spec, ONE, msgspec.msgpack.encode([b"x"])) for _ in range(2))
    assert one.cancel()
    (submit,) = client.turn()
    assert submit.chunks[0].cancelled == ((0, 1),)
    assert msgspec.msgpack.decode(client.wire.payloads[0][submit.opens[0].size :]) == [[], [b"x"]]
    assert not two.done()


def test_a_job_that_was_accepted_before_cannot_be_taken_back(client: Client) -> None:
    """It is at the ventilator, under its word: only there it can be cancelled."""
    job = OneJob(client.world, bytes(16), SPEC, ONE, client.streams.left)
    client.world.is_away = True
    assert (job.future.cancel(), job.future.cancelled()) == (False, False)


def test_a_future_of_which_nobody_knows_yet_is_cancelled_by_its_outcome(client: Client) -> None:
    """In an event loop, say: False at first, and then it is."""
    future = client.submit(1)
    client.turn()
    client.world.is_away = True
    assert (future.cancel(), future.cancelled()) == (False, False)
    client.outcomes(future, 0, failure(0, "cancelled", JobState.CANCELLED))
    assert future.cancelled()


def test_a_job_that_had_started_is_cancelled_without_a_promise(client: Client) -> None:
    """A retry that waited, say: its outcome may be here before the answer, and that it never started would be a lie."""
    future = client.submit(1)
    client.turn()
    client.world.later.append(lambda: client.outcomes(future, 0, failure(0, "cancelled", JobState.CANCELLED)))
    client.world.later.append(lambda: client.world.arrive("desk", Cancelled(2, 0)))
    assert (future.cancel(), future.cancelled()) == (False, True)


def test_a_callback_of_a_cancelled_future_holds_up_no_other(client: Client) -> None:
    """It is called where nothing is locked: another one can be cancelled meanwhile, in whatever thread."""
    one, two = client.submit(1), client.submit(2)
    seen: list[bool] = []

    def cancels_another(_: object) -> None:
        thread = threading.Thread(target=lambda: seen.append(two.cancel()), daemon=True)
        thread.start()
        thread.join(LIMIT)

    one.add_done_callback(cancels_another)
    assert one.cancel()
    assert seen == [True]


def test_a_job_cancelled_by_others_is_an_error_that_says_so(client: Client) -> None:
    """The future itself was not cancelled."""
    future = client.submit(1)
    client.turn()
    client.outcomes(future, 0, failure(0, "cancelled", JobState.CANCELLED))
    assert not future.cancelled()
    with pytest.raises(JobCancelled):
        future.result(0)


def test_cancelling_all_cancels_those_that_come_back_cancelled(client: Client) -> None:
    """Which ones, their outcomes say."""
    one, two = client.submit(1), client.submit(2)
    client.turn()
    client.streams.living()[0].cancel_all(unstarted_only=True)
    (cancel,) = client.wire.taken("desk")
    assert isinstance(cancel, Cancel)
    assert (cancel.start, cancel.stop, cancel.unstarted_only) == (0, 2, True)
    client.outcomes(one, 0, values(0, "ran"), failure(1, "cancelled", JobState.CANCELLED))
    assert (one.result(0), two.cancelled()) == ("ran", True)
    with pytest.raises(CancelledError):
        two.result(0)


def test_a_refused_submit_is_the_error_of_its_futures(client: Client) -> None:
    """And the batch takes in no more."""
    future = client.submit(1)
    client.turn()
    client.world.arrive("desk", Refused(1, "StoreError", "the disk is full"))
    with pytest.raises(StoreError, match="the disk is full"):
        future.result(0)
    assert client.submit(2).place[0] != future.place[0]


def test_a_batch_that_somebody_deleted_is_the_error_of_its_futures(client: Client) -> None:
    """Nobody waits for ever; the next submit is of another batch."""
    future = client.submit(1)
    client.turn()
    batch = future.place[0]
    client.world.arrive("desk", Accepted(1))
    client.world.now += 100.0
    client.world.turn()
    (question,) = client.wire.taken("desk")
    assert isinstance(question, AskGone)
    assert question.batches == (batch,)
    client.world.arrive("desk", Gone(question.number, (GoneLine(batch, "NoSuchBatch", "it was deleted"),)))
    with pytest.raises(NoSuchBatch, match="it was deleted"):
        future.result(0)
    assert client.submit(2).place[0] != batch
    assert client.streams.futures()


def test_a_submit_in_the_moment_of_the_refusal_has_its_error_too(client: Client) -> None:
    """Its thread had looked before whether the batch takes in more."""
    client.submit(1)
    client.turn()
    (stream,) = client.streams.living()
    client.world.arrive("desk", Refused(1, "StoreError", "the disk is full"))
    late = stream.add(b"item")
    assert list(stream.take_parts()) == []
    assert isinstance(late.exception(0), StoreError)


def test_a_lost_pipeline_is_the_error_of_every_future(client: Client) -> None:
    """Nothing waits for ever."""
    futures = [client.submit(1), client.submit(2, function=TWO)]
    client.streams.fail(NoPipeline("gone"))
    assert [type(future.exception(0)) for future in futures] == [NoPipeline] * 2


def test_what_is_not_accepted_is_charged_exactly(client: Client) -> None:
    """After acceptance of everything nothing is left, however it was packed."""
    for number in range(1500):
        client.submit(number)
    client.submit(bytes(100_000), function=TWO)
    assert client.world._unaccepted > 64_000
    for submit in client.turn():
        client.world.arrive("desk", Accepted(submit.number))
    assert client.world._unaccepted == 0
    assert UNACCEPTED_BYTES > 1 << 20


def test_a_call_made_twice_has_one_future_until_that_is_done(client: Client) -> None:
    """Whoever makes it again waits on the same Future; after the outcome, on one of its own."""
    first, again, later = (Stream(client.world, SPEC, ONE, client.streams.left) for _ in range(3))
    again.batch = later.batch = first.batch
    waited_on = first.futures[0] = JobFuture(first, 0, first.batch)
    assert client.streams.enlist(first, waited_on) is waited_on
    assert client.streams.enlist(again, JobFuture(again, 0, first.batch)) is waited_on
    first.futures.clear()
    own: JobFuture[Any] = JobFuture(later, 0, first.batch)
    assert client.streams.enlist(later, own) is own


def test_a_submit_in_a_trace_is_a_batch_of_its_own(client: Client) -> None:
    """It is closed at once, since no other submit has the same span, and takes no place among the open ones."""
    traced = BatchSpec(traceparent=f"00-{'1' * 32}-{'2' * 16}-01")
    client.submit(1, spec=traced)
    first = client.submit(2)
    (sent,) = client.turn()
    assert [(len(sent.opens), close.total) for close in sent.closes] == [(2, 1)]
    assert sent.closes[0].batch != first.place[0]
