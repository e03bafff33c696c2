"""What a worker gives back of the spans that it is asked for."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.job.spec import BatchSpec, JobState, Stamp
from penstock.slot.protocol import Ran
from penstock.wire.messages import Closed, HandedBack, Recall, Took
from penstock.wire.records import LeaseSpan, Note, RecordedSpan
from penstock.worker.contract import Cut, FreeLease, PieceCut, PieceDone, Run, SlotDied
from penstock.worker.lease_receipts import TOOK_DELAY
from penstock.worker.slot_feed import STUCK
from support.core_benches import BATCH, WorkerBench, delivered, done, of, runs


def piece_of_many(bench: WorkerBench) -> Run:
    """A piece of more than one job, which runs; others wait in the same lease."""
    (first,) = runs(bench.turn(bench.jobs(0, 1000)))
    piece, *_ = runs(bench.turn(done(first, each=0.0005)))
    assert piece.stop - piece.start > 1
    return piece


def test_what_waits_comes_back_and_what_runs_does_not() -> None:
    """At once, if no piece has to be cut for it; nothing of it is started any more."""
    bench = WorkerBench()
    (run,) = runs(bench.turn(bench.jobs(0, 4)))
    number = bench.number()
    did = bench.turn(Recall(5, (LeaseSpan(number, 0, 3), LeaseSpan(99, 0, 9))))
    assert did == [HandedBack(bench.id, 5, (LeaseSpan(number, 1, 3),))]
    (last,) = runs(bench.turn(done(run)))
    assert (last.start, last.stop) == (3, 4)


def test_what_cannot_be_started_here_goes_to_others() -> None:
    """Where there are others; else it has failed, and is an outcome."""
    bench = WorkerBench()
    jobs = bench.jobs(0, 1, lease=2, spec=BatchSpec(kind="command"))
    for elsewhere in (True, False):
        (lease,) = jobs.leases
        number = lease.number + elsewhere
        (run,) = runs(bench.turn(replace(jobs, leases=(replace(lease, number=number, elsewhere=elsewhere),))))
        ran = Ran(0, 1, JobState.FAILED, 1.0, 0.0, 1, Note("cannot start 'x'"), unstarted=True)
        did = bench.turn(PieceDone(run.slot, run.piece, (ran,), b"v"))
        back = HandedBack(bench.id, 0, (LeaseSpan(number, 0, 1),), "cannot start 'x'")
        assert of(HandedBack, did) == [back] * elsewhere
        assert delivered(did) == [(0, 1)] * (not elsewhere)
        assert len(bench.inventory) == (not elsewhere)


def test_the_tokens_of_leases_are_shown() -> None:
    """Of what has arrived, and of what is handed back: each once, and no others."""
    bench = WorkerBench()
    one, two, three = (bench.jobs(4 * lease, 4 * lease + 4, lease=lease) for lease in range(3))
    tokens = [b"zero", b"one", b""]
    for jobs, token in zip((one, two, three), tokens, strict=True):
        (lease,) = jobs.leases
        bench.turn(replace(jobs, leases=(replace(lease, token=token),)))
    (took,) = of(Took, bench.turn(after=TOOK_DELAY))
    assert took.tokens == (b"zero", b"one")
    number = bench.number(1)
    did = bench.turn(Recall(5, (LeaseSpan(number, 4, 5), LeaseSpan(number, 6, 7), LeaseSpan(bench.number(2), 8, 9))))
    assert [back.tokens for back in of(HandedBack, did)] == [(b"one",)]


def test_a_lease_that_comes_back_whole_is_let_go() -> None:
    """Its payload is no longer needed."""
    bench = WorkerBench()
    (run,) = runs(bench.turn(bench.jobs(0, 1, lease=1), bench.jobs(1, 5, lease=2)))
    did = bench.turn(Recall(5, (LeaseSpan(bench.number(2), 1, 5),)))
    assert FreeLease(bench.number(2)) in did
    bench.turn(done(run), Closed((RecordedSpan(BATCH, 0, 1, Stamp()),)))
    assert bench.inventory == []


def test_a_piece_in_a_slot_is_cut_behind_its_running_job() -> None:
    """The answer waits until it is known where the slot stops."""
    bench = WorkerBench()
    piece = piece_of_many(bench)
    wanted = LeaseSpan(bench.number(), piece.start + 1, piece.stop)
    did = bench.turn(Recall(5, (wanted,)))
    assert Cut(piece.slot, piece.piece) in did
    assert of(HandedBack, did) == []
    did = bench.turn(PieceCut(piece.slot, piece.piece, piece.start + 2))
    assert of(HandedBack, did) == [HandedBack(bench.id, 5, (LeaseSpan(bench.number(), piece.start + 2, piece.stop),))]


def test_a_piece_that_ends_first_answers_as_well() -> None:
    """Whatever it came to: all of it has started."""
    for ending in ("done", "died"):
        bench = WorkerBench()
        piece = piece_of_many(bench)
        bench.turn(Recall(5, (LeaseSpan(bench.number(), piece.stop - 1, piece.stop),)))
        if ending == "done":
            assert HandedBack(bench.id, 5, ()) in bench.turn(done(piece))
        else:
            died = SlotDied(piece.slot, piece.piece, piece.start, JobState.DEAD, "killed by SIGKILL", 1.0, 0.1)
            back = HandedBack(bench.id, 5, (LeaseSpan(bench.number(), piece.stop - 1, piece.stop),))
            assert back in bench.turn(died)


def test_what_waits_behind_jobs_that_last_comes_back_unasked() -> None:
    """Once every slot is late with what it runs, by what is known of it."""
    bench = WorkerBench()
    (run,) = runs(bench.turn(bench.jobs(0, 9)))
    assert of(HandedBack, bench.turn(after=2 * STUCK)) == []
    bench.turn(done(run, each=0.1))
    assert of(HandedBack, bench.turn(after=0.1)) == []
    assert of(HandedBack, bench.turn(after=STUCK)) == [HandedBack(bench.id, 0, (LeaseSpan(bench.number(), 2, 9),))]
    assert of(HandedBack, bench.turn(after=STUCK)) == []
