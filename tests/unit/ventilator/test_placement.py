"""Who may run a batch that asks for somebody, and what its client is told while nobody fits."""

from __future__ import annotations

from penstock.job.spec import BatchSpec
from penstock.ventilator.jobs_model import Terms
from penstock.ventilator.placement import MISSING_PATIENCE, describe
from penstock.wire.desk_messages import (
    Accepted,
    AskBatches,
    AskPipeline,
    AskWhy,
    BatchesInfo,
    Notice,
    PipelineInfo,
    Refused,
    Why,
)
from penstock.wire.messages import Jobs
from penstock.wire.records import Message
from support.core_benches import BATCH, CLIENT, VentilatorBench, leases, of


def notices(sent: list[tuple[bytes, Message]]) -> list[str]:
    """What the client is told unasked."""
    return [notice.text for notice in of(Notice, [message for to, message in sent if to == CLIENT])]


def waits(bench: VentilatorBench) -> str:
    """What a question about the batch is answered."""
    (info,) = of(BatchesInfo, bench.ask(AskBatches(1, BATCH.hex(), 1)))
    return info.batches[0].waits


def test_its_client_is_told_once_while_nobody_fits(bench: VentilatorBench) -> None:
    """After a moment in which workers may still come; who asks is told at once."""
    bench.worker("plain")
    bench.submit(1, spec=BatchSpec(worker="gpu3"))
    assert waits(bench) == "no worker named gpu3 is connected"
    assert notices(bench.pass_time(MISSING_PATIENCE - 0.1)) == []
    assert notices(bench.pass_time(0.2)) == [f"no worker named gpu3 is connected: batch {BATCH.hex()} waits for that"]
    assert notices(bench.pass_time(10)) == []


def test_its_client_is_told_nothing_when_somebody_comes_in_time(bench: VentilatorBench) -> None:
    """The two were started together."""
    bench.submit(1, spec=BatchSpec(needs=("gpu",)))
    bench.pass_time(MISSING_PATIENCE - 0.1)
    bench.worker("late", tags=("gpu",))
    assert waits(bench) == ""
    assert notices(bench.pass_time(2 * MISSING_PATIENCE)) == []


def test_it_is_refused_before_anything_is_accepted_if_its_user_said_so(bench: VentilatorBench) -> None:
    """NoSuchWorker, and nothing in the file; accepted as any other while somebody fits."""
    spec = BatchSpec(needs=("gpu",), on_missing="fail")
    assert bench.submit(1, spec=spec) == [
        (CLIENT, Refused(1, "NoSuchWorker", "no worker with the tag gpu is connected"))
    ]
    assert bench.store.batches() == []
    bench.worker("w", tags=("gpu",))
    sent = bench.submit(1, spec=spec)
    assert of(Accepted, [message for _, message in sent]) == [Accepted(2)]
    assert len(leases(sent)) == 1


def test_who_is_asked_for_is_said_in_words() -> None:
    """A name, tags, or both."""
    assert describe(Terms("gpu3")) == "worker named gpu3"
    assert describe(Terms(needs=("big", "gpu"))) == "worker with the tags big and gpu"
    assert describe(Terms("w", ("gpu",))) == "worker named w with the tag gpu"
    assert describe(Terms(user="bob")) == "worker that allows user=bob"


def test_jobs_of_a_user_go_to_workers_that_allow_it(bench: VentilatorBench) -> None:
    """Others would only fail them; until one is there, they wait and their client is told, or are refused."""
    bench.worker("plain")
    refused = bench.submit(1, spec=BatchSpec(user="bob", on_missing="fail"))
    assert refused == [(CLIENT, Refused(1, "NoSuchWorker", "no worker that allows user=bob is connected"))]
    assert leases(bench.submit(1, spec=BatchSpec(user="bob"))) == []
    assert notices(bench.pass_time(MISSING_PATIENCE + 0.2)) != []
    bench.worker("other", users=("alice",))
    assert waits(bench) == "no worker that allows user=bob is connected"
    bench.worker("theirs", users=("alice", "bob"))
    assert waits(bench) == ""


def test_a_worker_is_given_nothing_that_it_cannot_open(bench: VentilatorBench) -> None:
    """One of another language fails every pickled call: those wait for another, commands go to it."""
    js = bench.worker("js", slots=2, window=9, opens=("msgpack", "command"))
    assert leases(bench.submit(1, 1)) == []
    assert waits(bench) == "no worker that opens pickles is connected"
    other = b"command".ljust(16)
    sent = bench.submit(1, batch=other, spec=BatchSpec(kind="command"))
    assert [to for to, message in sent if isinstance(message, Jobs)] == [js.id]
    python = bench.worker("python", slots=2, window=9)
    assert waits(bench) == ""
    assert [lease.batch for lease in leases(bench.turn(python.beat()))] == []
    bench.submit(1, 1, batch=b"more".ljust(16))
    held = {worker.hello.name: worker.jobs for worker in bench.core.ledger.workers.values() if worker.hello}
    assert held == {"js": 1, "python": 4}


def test_while_all_who_may_run_it_are_broken_it_says_so(bench: VentilatorBench) -> None:
    """With the reason; it is run when one of them is not any more."""
    peer = bench.worker("w")
    peer.broken = "no room"
    bench.turn(peer.beat())
    assert leases(bench.submit(1)) == []
    assert waits(bench) == "every worker that may run it is broken (w on host: no room)"
    assert of(Why, bench.ask(AskWhy(1, BATCH, 0)))[0].reason.startswith("every worker that may run it is broken")
    (info,) = of(PipelineInfo, bench.ask(AskPipeline(2)))
    assert [line.broken for line in info.workers] == ["no room"]
    peer.broken = ""
    assert len(leases(bench.turn(peer.beat()))) == 1
    assert waits(bench) == ""
    assert [log.event for log in bench.logged if "worker_" in log.event][1:] == ["worker_broken", "worker_healed"]
