"""Containers that were started with one name are told apart."""

from __future__ import annotations

import itertools

from msgspec.structs import replace

from penstock.job.spec import LABEL_CHARS, BatchSpec, name_apart
from penstock.ventilator.contract import JobConnections
from penstock.ventilator.worker_names import PRUNE_MIN
from penstock.wire.bounds import RECONNECT_GRACE
from penstock.wire.desk_messages import AskPipeline, PipelineInfo
from penstock.wire.messages import Jobs, Welcome
from support.core_benches import Peer, VentilatorBench, of


class Container(Peer):
    """Started with a name that others have, too."""

    def __init__(self, bench: VentilatorBench, number: int, name: str = "gpu") -> None:
        super().__init__(bench, name, 1, 2)
        self.id = bytes([number]) * 16
        bench.peers.append(self)
        bench.turn(JobConnections(len(bench.peers)))

    def join(self, *, is_apart: bool = False) -> str:
        """What it is told that it is called."""
        hello = replace(self.hello(self.connect()), is_apart=is_apart)
        (welcome,) = of(Welcome, self.bench.told(self, hello))
        return welcome.name


def names(bench: VentilatorBench) -> list[str]:
    """As `penstock workers` lists them."""
    (info,) = bench.ask(AskPipeline(1))
    assert isinstance(info, PipelineInfo)
    return [worker.name for worker in info.workers]


def test_who_has_the_name_of_another_is_called_by_its_id_too(bench: VentilatorBench) -> None:
    """And is told so, and it is in the log; one that is alone with it is told nothing."""
    assert [Container(bench, number).join() for number in (1, 2, 3)] == ["", "gpu-020202", "gpu-030303"]
    assert names(bench) == ["gpu", "gpu-020202", "gpu-030303"]
    taken = [line.fields.strip() for line in bench.logged if line.event == "name_taken"]
    assert taken == [f"name=gpu called=gpu-{digits} host=host" for digits in ("020202", "030303")]
    assert Container(bench, 4, "cpu").join() == ""


def test_a_name_is_kept(bench: VentilatorBench) -> None:
    """By both, when the ventilator is started again, whoever is the first then; and by who says hello again."""
    first, second = Container(bench, 1), Container(bench, 2)
    assert (first.join(), second.join(), first.join()) == ("", "gpu-020202", "")
    bench.restart()
    assert second.join(is_apart=True) == "gpu-020202"
    assert first.join() == ""


def test_a_name_is_free_when_its_worker_is_gone(bench: VentilatorBench) -> None:
    """So a worker that is started again has its name again."""
    first = Container(bench, 1)
    first.join()
    first.disconnect()
    assert Container(bench, 2).join() == ""
    assert first.join() == "gpu-010101"


def test_jobs_for_the_name_run_on_all_that_were_started_with_it(bench: VentilatorBench) -> None:
    """And those for the name that one was given run there alone."""
    bench.sink()
    first, second = Container(bench, 1), Container(bench, 2)
    first.join()
    second.join()
    sent = bench.submit(1, 1, spec=BatchSpec(worker="gpu"))
    assert {to for to, message in sent if isinstance(message, Jobs)} == {first.id, second.id}
    sent = bench.submit(1, 1, spec=BatchSpec(worker="gpu-020202"), batch=b"other".ljust(16))
    assert {to for to, message in sent if isinstance(message, Jobs)} <= {second.id}


def test_names_of_those_who_left_are_forgotten(bench: VentilatorBench) -> None:
    """Containers come and go under new names for years."""
    for number in range(2 * PRUNE_MIN):
        container = Container(bench, number + 1, f"pod-{number}")
        container.join()
        container.disconnect()
        bench.turn(after=2 * RECONNECT_GRACE)
    assert names(bench) == []
    assert len(bench.core.worker_reports._names._holders) <= PRUNE_MIN + 1


def test_a_long_name_stays_one() -> None:
    """What a message cannot carry would keep the worker away."""
    longest = "n" * LABEL_CHARS
    assert len(name_apart(longest, "abcdef01")) == LABEL_CHARS
    assert len({name_apart(longest, f"{number:06x}") for number in itertools.islice(itertools.count(), 9)}) == 9
