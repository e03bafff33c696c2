"""The holder of a work key joins as a worker, and says what is not so: of others' jobs, of its own, and too much."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import msgspec
import pytest
import zmq

from conftest import Show
from penstock.job.spec import JobState, Stamp
from penstock.wire.frames import Decoder
from penstock.wire.messages import Beat, Drop, Greeting, HandedBack, Heartbeat, Hello, InSlot, Took, VentilatorToWorker
from penstock.wire.records import Held, Lease, LeaseSpan, Message
from support.attack_scene import OWN, Attack, Attacks, Scene, assert_harmless
from support.impostor import NAME, Impostor, impostor
from support.keyed_pipeline import door
from support.stations import until

ATTACKS = Attacks()
VENTILATOR = Decoder(VentilatorToWorker)
SPAN = ((0, 1),)


def held(scene: Scene, token: bytes = b"", *, finished: bool = False) -> tuple[Held, ...]:
    """The job that runs at w1, under each number that its lease can have."""
    batch = bytes.fromhex(scene.running.id)
    running, ended = ((), SPAN) if finished else (SPAN, ())
    return tuple(
        Held(number, batch, Stamp(), (), running, ended, token) for number in range(scene.lease, scene.lease + 4)
    )


def beat(thief: Impostor, *lines: Held, window: int = 0, slots: tuple[InSlot, ...] = ()) -> None:
    """Say a heartbeat with this inventory, and wait for the answer: then it has had its effect."""
    thief.report.say(Heartbeat(thief.id, thief.next_number(), window, lines, "", slots))
    thief.heard(Beat)


def disbelieved(thief: Impostor, *lines: Held) -> str:
    """What is said to a worker that has what it was not given: to drop it."""
    beat(thief, *lines)
    said = thief.said(Drop)
    unfinished = {LeaseSpan(line.lease, *span) for line in lines for span in (*line.unstarted, *line.running)}
    dropped = {span for drop in said for span in drop.spans}
    return "not believed" if unfinished <= dropped else f"told to drop {dropped} of {unfinished}"


@ATTACKS.add("work", "not believed")
def inventory(scene: Scene) -> str:
    """a heartbeat that says it runs another's job."""
    with impostor(scene) as thief:
        thief.join()
        scene.noticed("ventilator", b" inventory_refused: ", lambda: beat(thief, *held(scene)))
        return disbelieved(thief, *held(scene))


@ATTACKS.add("work", "not believed")
def finished_inventory(scene: Scene) -> str:
    """a heartbeat that says it has finished another's job."""
    with impostor(scene) as thief:
        thief.join()
        return disbelieved(thief, *held(scene, finished=True))


@ATTACKS.add("work", "not believed")
def hello_inventory(scene: Scene) -> str:
    """joins with another's job in its inventory."""
    with impostor(scene) as thief:
        thief.join(*held(scene))
        return disbelieved(thief, *held(scene))


@ATTACKS.add("work", "not believed")
def cut_token(scene: Scene) -> str:
    """another's job in its inventory, with the token of a lease of its own."""
    with impostor(scene) as thief:
        thief.join(window=1)
        lease = thief.given()
        try:
            return disbelieved(thief, *held(scene, lease.token))
        finally:
            thief.batch.delete()


@ATTACKS.add("work", "not believed")
def forged_token(scene: Scene) -> str:
    """another's job in its inventory, with a token of its own making."""
    words = msgspec.msgpack.encode([scene.lease, bytes.fromhex(scene.running.id), 0, 1, Stamp()])
    with impostor(scene) as thief:
        thief.join()
        return disbelieved(thief, *held(scene, os.urandom(16) + words))


@ATTACKS.add("work", "not believed")
def future_leases(scene: Scene) -> str:
    """holds leases that were never given out, of a job that waits."""
    batch = bytes.fromhex(scene.waiting.id)
    with impostor(scene) as thief:
        thief.join()
        numbers = (scene.lease + 10_000, 2**63 - 1, 1, 0)
        return disbelieved(thief, *(Held(number, batch, Stamp(), (), SPAN, ()) for number in numbers))


@ATTACKS.add("work", "not believed")
def impossible_spans(scene: Scene) -> str:
    """inventories of spans that cannot be."""
    batch = bytes.fromhex(scene.running.id)
    with impostor(scene) as thief:
        thief.join()
        spans = (((1, 0),), ((0, 1), (0, 1)), ((0, 2**63 - 1), (5, 6)))
        found = {disbelieved(thief, Held(scene.lease, batch, Stamp(), (), one, ())) for one in spans}
        return ", ".join(found)


@ATTACKS.add("work", "not believed")
def foreign_batch(scene: Scene) -> str:
    """its own lease, with another's batch."""
    with impostor(scene) as thief:
        thief.join(window=1)
        lease = thief.given()
        line = Held(lease.number, bytes.fromhex(scene.running.id), lease.stamp, (), SPAN, (), lease.token)
        try:
            return disbelieved(thief, line)
        finally:
            thief.batch.delete()


def ignored(scene: Scene, make: type[Took | HandedBack]) -> str:
    """Said of another's lease; the heartbeat behind it is answered when it is done."""
    numbers = tuple(range(scene.lease, scene.lease + 8))
    with impostor(scene) as thief:
        thief.join()
        if make is Took:
            thief.report.say(Took(thief.id, numbers, 1))
        else:
            thief.report.say(HandedBack(thief.id, 0, tuple(LeaseSpan(number, 0, 1) for number in numbers)))
        return disbelieved(thief, *held(scene)).replace("not believed", "nothing changed")


ATTACKS.append(Attack("work", "Took of another's lease", "nothing changed", partial(ignored, make=Took)))
ATTACKS.append(Attack("work", "HandedBack of another's lease", "nothing changed", partial(ignored, make=HandedBack)))


# ------------------------------------------------------------------------------------------ outcomes and tokens


def outcome_of(scene: Scene, thief: Impostor, lease: Lease, *tokens: bytes) -> str:
    """An outcome that is not granted."""
    thief.outcomes.say(thief.outcome(lease, *tokens))
    return scene.taken(thief.outcomes)


def with_a_token(scene: Scene, how: str) -> str:
    """An outcome of the job that runs at w1, with a token that is not of its lease."""
    with impostor(scene) as thief:
        thief.join(window=1)
        own = thief.given()
        other = msgspec.structs.replace(own, number=scene.lease, batch=bytes.fromhex(scene.running.id), stamp=Stamp())
        tokens = {
            "of a lease of its own": own.token,
            "cut in the middle": own.token[:20],
            "of zeros": bytes(len(own.token)),
            "with a bit turned": own.token[:-1] + bytes([own.token[-1] ^ 1]),
            "of 100 kB": own.token + bytes(100_000),
            "that is empty": b"",
        }
        try:
            return outcome_of(scene, thief, other, tokens[how])
        finally:
            thief.batch.delete()


for how in (
    "of a lease of its own",
    "cut in the middle",
    "of zeros",
    "with a bit turned",
    "of 100 kB",
    "that is empty",
):
    tries = f"an outcome of another's job, with a token {how}"
    ATTACKS.append(Attack("work", tries, "dropped", partial(with_a_token, how=how)))


@ATTACKS.add("work", "dropped")
def beyond(scene: Scene) -> str:
    """an outcome of more jobs than its lease has."""
    with impostor(scene) as thief:
        thief.join(window=1)
        lease = thief.given()
        wide = msgspec.structs.replace(lease, stop=lease.stop + 1)
        try:
            return outcome_of(scene, thief, wide, lease.token)
        finally:
            thief.batch.delete()


@ATTACKS.add("work", "dropped")
def later_stamp(scene: Scene) -> str:
    """an outcome of its lease, as of a later try."""
    with impostor(scene) as thief:
        thief.join(window=1)
        lease = thief.given()
        later = msgspec.structs.replace(lease, stamp=Stamp(generation=7))
        try:
            return outcome_of(scene, thief, later, lease.token)
        finally:
            thief.batch.delete()


@ATTACKS.add("work", "recorded once")
def replayed(scene: Scene) -> str:
    """its own outcome, replayed 200 times."""
    with impostor(scene) as thief:
        thief.join(window=1)
        lease = thief.given()
        for _ in range(200):
            thief.outcomes.say(thief.outcome(lease, lease.token))
        thief.batch.wait(30)
        scene.taken(thief.outcomes)
        attempts = len(thief.batch.attempts(0))
        thief.batch.delete()
        return "recorded once" if attempts == 1 else f"recorded {attempts} times"


@ATTACKS.add("work", "recorded once")
def contradiction(scene: Scene) -> str:
    """another outcome of its job, after the first."""
    with impostor(scene) as thief:
        thief.join(window=1)
        lease = thief.given()
        first = thief.outcome(lease, lease.token)
        thief.outcomes.say(first)
        thief.batch.wait(30)
        (head,) = first.records
        second = msgspec.structs.replace(head, state=JobState.DEAD, crashed=True)
        thief.outcomes.say(msgspec.structs.replace(first, records=(second,)))
        scene.taken(thief.outcomes)
        states = [str(outcome.state) for outcome in thief.batch.attempts(0)]
        thief.batch.delete()
        return "recorded once" if states == ["cancelled"] else f"recorded as {states}"


@ATTACKS.add("work", "dropped")
def deleted(scene: Scene) -> str:
    """an outcome of a batch that was deleted, with its token."""
    with impostor(scene) as thief:
        thief.join(window=1)
        lease = thief.given()
        batch = thief.batch.id
        thief.batch.delete()
        thief.outcomes.say(thief.outcome(lease, lease.token))
        scene.taken(thief.outcomes)
        return "dropped" if batch not in {one.id for one in scene.admin.batches()} else "brought back"


# ------------------------------------------------------------------------------------------ topics


def overheard(scene: Scene, who: str, topic: bytes | None) -> str:
    """What comes to a topic of another's while jobs are dealt."""
    with door(scene.url, "control", scene.key(who), os.urandom(16)) as control:
        assert control.answer() == "let in"
        until(lambda: control.socket.poll(1000) and control.socket.recv(), what="a greeting")
        control.socket.subscribe(scene.worker if topic is None else topic)
        for _ in range(5):
            scene.alice.submit(abs, -1).result(30)
        return "hears" if control.socket.poll(50) else "hears nothing"


for role, who in (("work", "gpu"), ("sink's", "sink")):
    for what, topic in (("w1's topic", None), ("all topics", b""), ("a topic of one byte", b"\x00")):
        attack = partial(overheard, who=who, topic=topic)
        ATTACKS.append(Attack(role, f"subscribes to {what}", "hears nothing", attack))


# ------------------------------------------------------------------------------------------ too much, and nonsense


def joins(scene: Scene, how: dict[str, Any]) -> str:
    """A hello of impossible numbers, or of a name that cannot be."""
    with impostor(scene) as thief:
        greeting = thief.heard(Greeting)
        hello = Hello(
            thief.id, greeting.life, greeting.connection, thief.next_number(), NAME, "h" * 255, 1, 1, 0, (), "\x1b[2J\n"
        )
        before = scene.admin.status().malformed
        thief.report.say(msgspec.structs.replace(hello, **how))
        until(lambda: scene.admin.status().malformed > before or len(scene.admin.workers()) == 2)
        return "dropped" if len(scene.admin.workers()) == 1 else "joins, and does no harm"


HUGE = 2**63 - 1
for words, fields, right in (
    ("joins with 2**63 - 1 slots", {"slots": HUGE}, "joins, and does no harm"),
    ("joins with a process id of 2**63 - 1", {"pid": HUGE}, "joins, and does no harm"),
    ("joins under a name with control characters", {"name": "gpu/\x1b]0;x\x07\n"}, "joins, and does no harm"),
    ("joins under the name of another key's worker", {"name": "workers/w1"}, "dropped"),
    ("joins under a name that leads to another's", {"name": "../workers/w1"}, "dropped"),
):
    ATTACKS.append(Attack("work", words, right, partial(joins, how=fields)))


@ATTACKS.add("work", "its jobs run elsewhere")
def hoards(scene: Scene) -> str:
    """asks for 2**63 - 1 leases, and runs none."""
    with impostor(scene) as thief:
        thief.join(window=HUGE, slots=HUGE)
        beat(thief, window=HUGE)
        batch = scene.alice.batch(abs, range(-50, 0))
        thief.heard(Message)
    values = list(batch.values())
    batch.delete()
    return "its jobs run elsewhere" if values == list(range(50, 0, -1)) else f"{values}"


@ATTACKS.add("work", "it says that of itself alone")
def in_slots(scene: Scene) -> str:
    """says that others' jobs run in its slots."""
    with impostor(scene) as thief:
        thief.join()
        slots = tuple(InSlot(number, scene.lease, number, 1e9) for number in range(1000))
        beat(thief, slots=slots)
        disbelieved(thief, *held(scene))
        (job,) = scene.running.jobs()
        return "it says that of itself alone" if job.worker == "workers/w1" else f"it runs at {job.worker}"


@ATTACKS.add("work", "no worker more")
def hellos(scene: Scene) -> str:
    """2,000 hellos of new ids that nobody has greeted."""
    before = len(scene.admin.workers())
    with door(scene.url, "report", scene.key("gpu")) as report:
        assert report.answer() == "let in"
        for _ in range(2000):
            report.say(Hello(os.urandom(16), 1, 1, 1, NAME, "h", 1, 1, 1, (), "3"))
        noise = scene.admin.status().malformed
        report.socket.send(b"the last one")
        until(lambda: scene.admin.status().malformed > noise)
    return "no worker more" if len(scene.admin.workers()) == before else "workers more"


@ATTACKS.add("work", "cut off")
def subscriptions(scene: Scene) -> str:
    """2,000 subscriptions of new ids."""
    with door(scene.url, "control", scene.key("gpu"), OWN) as control:
        assert control.answer() == "let in"
        for _ in range(2000):
            control.socket.subscribe(os.urandom(16))
        control.socket.poll(0)  # only now libzmq sends them
        assert control.got(zmq.Event.DISCONNECTED)
    return "cut off"


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_what_a_worker_says(attack: Attack, scene: Scene, show: Show) -> None:
    """It is believed of itself alone, and only what it was given."""
    assert_harmless(attack, scene, show)
