"""Questions where a running job is, on their way to its worker and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.station.contract import FromClient
from penstock.ventilator.stack_questions import ANSWER_TIME, WAITING_MAX
from penstock.wire.desk_messages import AskStack, Refused, Stack
from penstock.wire.messages import StackTaken, TakeStack
from support.core_benches import BATCH, CLIENT, VentilatorBench

ASK = AskStack(7, BATCH, 0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[VentilatorBench]:
    """A ventilator with a sink and a worker that has one job."""
    made = VentilatorBench(tmp_path)
    made.sink()
    made.worker()
    made.submit(2)
    yield made
    made.core.check()


def asked(bench: VentilatorBench, ask: AskStack = ASK) -> list[tuple[bytes, TakeStack]]:
    """What workers are asked then."""
    sent = bench.turn(FromClient(CLIENT, ask))
    return [(worker, message) for worker, message in sent if isinstance(message, TakeStack)]


def test_its_worker_is_asked_once_and_answers_whoever_asked(bench: VentilatorBench) -> None:
    """A client asks again when no answer came; what another worker says is no answer, nor what is said twice."""
    ((worker, question),) = asked(bench)
    assert question == TakeStack(question.number, BATCH, 0)
    assert asked(bench) == []
    assert bench.told(CLIENT, StackTaken(bytes(16), question.number, "forged")) == []
    assert bench.told(CLIENT, StackTaken(worker, question.number + 1, "of nobody")) == []
    assert bench.told(CLIENT, StackTaken(worker, question.number, "in f")) == [Stack(7, "in f")]
    assert bench.told(CLIENT, StackTaken(worker, question.number, "in f")) == []
    assert len(asked(bench)) == 1


def test_who_cannot_be_told_is_told_why(bench: VentilatorBench) -> None:
    """No such batch, no such job, one that its worker does not run, a worker that says nothing."""
    (refused,) = bench.ask(AskStack(1, bytes(16), 0))
    assert isinstance(refused, Refused)
    (stack,) = bench.ask(AskStack(2, BATCH, 99))
    assert stack == Stack(2, "", "it has ended, or is none of its jobs")
    ((worker, question),) = asked(bench)
    (stack,) = bench.told(CLIENT, StackTaken(worker, question.number, ""))
    assert isinstance(stack, Stack)
    assert "it waits for a slot at worker" in stack.reason
    asked(bench)
    assert bench.told(CLIENT, after=ANSWER_TIME / 2) == []
    (stack,) = bench.told(CLIENT, after=ANSWER_TIME / 2)
    assert isinstance(stack, Stack)
    assert "has not answered within 4 s" in stack.reason
    assert bench.core.questions.stacks.next_wakeup() is None


def test_so_many_wait_and_no_more(bench: VentilatorBench) -> None:
    """Whoever comes then is told so at once."""
    for number in range(WAITING_MAX):
        assert len(asked(bench, AskStack(number, BATCH, 0))) == 1
    (stack,) = bench.ask(AskStack(WAITING_MAX, BATCH, 0))
    assert isinstance(stack, Stack)
    assert "too many" in stack.reason
