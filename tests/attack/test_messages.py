"""Every message that a role may not say, said by it: made from the unions of messages.py, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from secrets import randbits
from typing import Any

import pytest

from conftest import Show
from penstock.job.spec import JobState
from penstock.station.permissions import READS
from penstock.wire.desk_messages import AskPipeline, ClientToVentilator, Refused, VentilatorToClient
from penstock.wire.frames import Decoder, encode
from penstock.wire.messages import (
    Claim,
    ClientToSink,
    Fetch,
    Outcomes,
    SinkToClient,
    ToVentilator,
    VentilatorToSink,
    VentilatorToWorker,
    WorkerToSink,
    payload_bytes,
)
from penstock.wire.records import BySink, Message, Part
from support.attack_scene import OWN, WORKER, Attack, Attacks, Scene, assert_harmless
from support.example_messages import example, has_number, messages_of
from support.keyed_pipeline import Door, door
from support.stations import until

READERS_LAST = 1 << 40
"""The number of a question that may be asked: when it is answered, what was said before is done."""


def named(scene: Scene) -> dict[str, Any]:
    """What the messages of an attack are about: what alice has."""
    return {
        "batch": bytes.fromhex(scene.running.id),
        "worker": scene.worker,
        "worker_text": WORKER,
        "name_text": WORKER,
        "state": JobState.SUCCEEDED,
        "lease": scene.lease,
        "leases": tuple(range(scene.lease, scene.lease + 8)),
        "unstarted": (),
        "running": ((0, 1),),
        "finished": (),
    }


def said(message: Message) -> bytes:
    """As it travels."""
    return encode(message, bytes(payload_bytes(message)))


# ------------------------------------------------------------------------------- clients, to ventilator and sink


def heard(at: Door, message: Message, last: Message, union: Any) -> str:
    """Say something that is not for the sender to say, and something that is; how the first was answered."""
    decoder = Decoder(union)
    at.socket.send(said(message))
    at.socket.send(said(last))
    answers = []
    while True:
        assert at.socket.poll(30_000), "no answer"
        answer = decoder.decode(at.socket.recv()).message
        if getattr(answer, "number", 0) == READERS_LAST:
            break
        if getattr(answer, "number", 0) == 1:
            answers.append("refused" if isinstance(answer, Refused) else type(answer).__name__)
    return ", ".join(answers) or ("not answered" if has_number(message) else "dropped")


def at_desk(who: str, kind: type[Message], scene: Scene) -> str:
    """A message of this kind about what is alice's."""
    answers = set()
    for batch in (scene.running, scene.waiting, scene.ended):
        message = example(kind, named(scene) | {"batch": bytes.fromhex(batch.id)})
        with door(scene.url, "desk", scene.key(who)) as desk:
            assert desk.answer() == "let in"
            answers.add(heard(desk, message, AskPipeline(READERS_LAST), VentilatorToClient))
    return ", ".join(sorted(answers))


def at_results(who: str, kind: type[Message], scene: Scene) -> str:
    """The same of the sink."""
    last = Fetch(READERS_LAST, scene.loot, 0, 1)
    with door(scene.url, "results", scene.key(who)) as results:
        assert results.answer() == "let in"
        return heard(results, example(kind, named(scene) | {"batch": scene.loot}), last, SinkToClient)


def of_clients() -> Iterator[Attack]:
    for kind in messages_of(ClientToVentilator):
        if kind not in READS:
            right = "refused" if "number" in kind.__struct_fields__ else "dropped"
            for role, who in (("observe", "watch"), ("submit", "bob")):
                yield Attack(role, f"{kind.__name__} of another's batch", right, partial(at_desk, who, kind))
    for role, who in (("observe", "watch"), ("submit", "bob")):
        yield Attack(role, "Claim of another's outcomes", "refused", partial(at_results, who, Claim))


# ------------------------------------------------------------------------------- workers and sinks, to the ventilator


def at_report(who: str, kind: type[Message], scene: Scene) -> str:
    """A message of this kind, in the name of w1 or of the sink."""
    message = example(kind, named(scene) | {"sink": b"s" * 16})
    before = scene.admin.status().malformed
    with door(scene.url, "report", scene.key(who)) as report:
        assert report.answer() == "let in"
        report.socket.send(said(message))
        until(lambda: scene.admin.status().malformed > before)
    return "dropped"


def of_workers() -> Iterator[Attack]:
    for kind in messages_of(ToVentilator):
        if issubclass(kind, BySink):
            yield Attack("work", f"{kind.__name__} as the sink", "dropped", partial(at_report, "gpu", kind))
        else:
            yield Attack("work", f"{kind.__name__} as another worker", "dropped", partial(at_report, "gpu", kind))
            yield Attack("sink's", f"{kind.__name__} as a worker", "dropped", partial(at_report, "sink", kind))


# ------------------------------------------------------------------------------- workers, to the sink


def handed_in(kind: type[Message], name: str, worker: bytes, scene: Scene) -> bytes:
    """A message of this kind about the job that runs elsewhere; the one Part of a stream has outcomes in it."""
    about = named(scene) | {"name_text": name, "worker": worker}
    if kind is not Part:
        return said(example(kind, about))
    whole = said(example(Outcomes, about))
    return encode(Part(randbits(62), 0, 0, len(whole), worker), whole)


def at_outcomes(worker: bytes | None, name: str, kind: type[Message], scene: Scene) -> str:
    """It is said by the key gpu."""
    with door(scene.url, "outcomes", scene.key("gpu")) as outcomes:
        assert outcomes.answer() == "let in"
        outcomes.socket.send(handed_in(kind, name, worker or scene.worker, scene))
        return scene.taken(outcomes)


def logged(kind: type[Message], name: str, words: bytes, scene: Scene) -> str:
    """The same, until the sink says that it has noticed."""
    with door(scene.url, "outcomes", scene.key("gpu")) as outcomes:
        assert outcomes.answer() == "let in"
        return scene.noticed("sink", words, lambda: outcomes.socket.send(handed_in(kind, name, OWN, scene)))


def of_outcomes() -> Iterator[Attack]:
    for kind in messages_of(WorkerToSink):
        for worker, name, how in (
            (None, WORKER, "as another worker"),
            (None, "gpu/x", "under another's id"),
            (b"x" * 16, WORKER, "under another's name"),
            (b"x" * 16, "gpu", "under its key's name alone"),
            (b"x" * 16, "gpux/1", "under the name of a key that begins alike"),
            (b"x" * 16, "gpu/x", "of another's lease, without its token"),
        ):
            yield Attack("work", f"{kind.__name__} {how}", "dropped", partial(at_outcomes, worker, name, kind))
        for name, words in ((WORKER, b"not for the key gpu to say"), ("gpu/own", b" outcome_refused: ")):
            tries = f"{kind.__name__} of another's lease as {name}, until it is logged"
            yield Attack("work", tries, "dropped", partial(logged, kind, name, words))


# ------------------------------------------------------------------------------- the wrong direction

UNIONS = {
    "a client's to the ventilator": ClientToVentilator,
    "a client's to the sink": ClientToSink,
    "a worker's to the ventilator": ToVentilator,
    "a worker's to the sink": WorkerToSink,
    "the ventilator's to a client": VentilatorToClient,
    "the ventilator's to a worker": VentilatorToWorker,
    "the ventilator's to the sink": VentilatorToSink,
    "the sink's to a client": SinkToClient,
}
DOORS = {
    "desk": ("submit", "bob", ClientToVentilator, "ventilator"),
    "results": ("submit", "bob", ClientToSink, "sink"),
    "report": ("work", "gpu", ToVentilator, "ventilator"),
    "outcomes": ("work", "gpu", WorkerToSink, "sink"),
}


def misdirected(at: str, kinds: list[type[Message]], scene: Scene) -> str:
    """All messages of a union that is not for this door."""
    _, who, _, station = DOORS[at]
    before = scene.admin.status().malformed
    with door(scene.url, at, scene.key(who)) as knocked:
        assert knocked.answer() == "let in"
        for kind in kinds:
            knocked.socket.send(said(example(kind, named(scene))))
        if at == "results":
            heard(knocked, example(kinds[0], named(scene)), Fetch(READERS_LAST, scene.loot, 0, 1), SinkToClient)
        elif station == "sink":
            scene.taken(knocked)
        else:
            until(lambda: scene.admin.status().malformed >= before + len(kinds))
    return "dropped"


def of_directions() -> Iterator[Attack]:
    for at, (role, _, mine, _) in DOORS.items():
        known = {kind.__name__ for kind in messages_of(mine)}
        for words, union in UNIONS.items():
            kinds = [kind for kind in messages_of(union) if kind.__name__ not in known]
            if union is not mine:
                yield Attack(role, f"says at {at} what is {words}", "dropped", partial(misdirected, at, kinds))


ATTACKS = Attacks([*of_clients(), *of_workers(), *of_outcomes(), *of_directions()])


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_what_is_not_for_a_role_to_say(attack: Attack, scene: Scene, show: Show) -> None:
    """It is refused or dropped, and changes nothing."""
    assert_harmless(attack, scene, show)


def test_no_message_is_forgotten() -> None:
    """Every message of the protocol is in one of the unions that the attacks are made of."""
    made = {kind for union in UNIONS.values() for kind in messages_of(union)}
    assert set(_all_messages(Message)) <= made


def _all_messages(kind: type[Any]) -> Iterator[type[Any]]:
    """Those that travel: what others are made from does not."""
    bases = [one for one in kind.__subclasses__() if one.__module__.startswith("penstock.wire.")]
    for one in bases:
        yield from _all_messages(one)
    if not bases:
        yield kind
