"""A pipeline with keys, end to end over tcp: who is let in, who is cut off, what each role can do."""

from __future__ import annotations

import queue
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq

from conftest import Cli
from jobs.common import gated
from penstock import Pipeline, errors
from penstock.adapters.finished_queue import SharedFinished
from penstock.client import leaving
from penstock.job.spec import JobState, Stamp
from penstock.keys.files import KeyFolder
from penstock.keys.roles import DOORS, Role
from penstock.wire.bounds import Limits
from penstock.wire.guard import Guard, Security
from penstock.wire.messages import Claim, Hello, Outcomes
from penstock.wire.records import OutcomeHead
from penstock.wire.socket_sets import ventilator_links
from support.keyed_pipeline import door, key_of, knock, make_keys, start
from support.stations import LIMIT, Stations, free_url, until


@pytest.fixture
def keys(folder: Path, url: str) -> KeyFolder:
    """The keys of a pipeline at `url`."""
    return make_keys(folder, url)


def path(keys: KeyFolder, name: str) -> str:
    return str(keys.path / f"{name}.key")


def test_a_key_is_all_that_is_needed(stations: Stations, keys: KeyFolder) -> None:
    """Calls, maps, batches and commands over CURVE, with a key file and no URL; workers have their key's name."""
    start(stations, keys, "w1")
    with Pipeline(key=path(keys, "alice")) as pipeline:
        assert pipeline.submit(pow, 2, 10).result(LIMIT) == 1024
        assert list(pipeline.map(abs, range(-1000, 0))) == list(range(1000, 0, -1))
        assert list(pipeline.batch(divmod, [7, 8], [2, 3]).values()) == [(3, 1), (2, 2)]
        assert pipeline.command(["echo", "hi"]).result(LIMIT).stdout == b"hi\n"
        status = pipeline.status()
        assert (status.security, [worker.name for worker in status.workers]) == ("keys", ["workers/w1"])
        assert b"PENSTOCK_KEY" not in pipeline.command(["env"]).result(LIMIT).stdout
    for name in ("w1", "sink", "ventilator"):
        assert stations.end(name) == 0
        assert key_of(keys, "workers").secret.encode() not in stations.log(name).read_bytes()


def test_each_door_opens_for_its_roles_only(stations: Stations, keys: KeyFolder) -> None:
    """Every role at every socket: as the table of roles says, and not otherwise."""
    start(stations, keys)
    names = {Role.WORK: "gpu", Role.SUBMIT: "alice", Role.OBSERVE: "watch", Role.ADMIN: "admin", Role.SINK: "sink"}
    seen = {(role, at): knock(stations.url, at, key_of(keys, name)) for role, name in names.items() for at in DOORS}
    told = {(role, at): "let in" if role in DOORS[at] else "refused" for role in names for at in DOORS}
    told |= {(Role.SINK, at): "let in" for at in ("outcomes", "results")}  # the sink's own: its self-test
    assert seen == told


def test_roles_are_kept_message_by_message(stations: Stations, keys: KeyFolder) -> None:
    """A watcher changes nothing; who submits ends what is its own; an admin ends anything and drains workers."""
    start(stations, keys, "w1")
    keys.new(Role.SUBMIT, "bob")
    until(lambda: stations.log("ventilator").read_bytes().count(b" key_added: ") == 1)
    with (
        Pipeline(key=path(keys, "alice")) as alice,
        Pipeline(key=path(keys, "bob")) as bob,
        Pipeline(key=path(keys, "watch")) as watch,
        Pipeline(key=path(keys, "admin")) as admin,
    ):
        batch = alice.batch(time.sleep, [600, 600], name="long")
        with pytest.raises(errors.Refused, match="watch"):
            watch.batch(abs, [1])
        with pytest.raises(errors.Refused, match="watch"):
            watch.submit(abs, 1).result(LIMIT)
        for other in (bob, watch):
            assert other.attach("long").status().total == 2
            with pytest.raises(errors.Refused):
                other.cancel(batch.id)
            with pytest.raises(errors.Refused):
                other.drain("workers/w1")
        with pytest.raises(errors.Refused, match="admin"):
            alice.drain("workers/w1")
        batch.cancel()
        assert {str(outcome.state) for outcome in watch.attach(batch.id).outcomes()} == {"cancelled"}
        second = alice.batch(time.sleep, [600])
        admin.cancel(second.id)
        second.wait(LIMIT)
        admin.drain("workers/w1")
        assert stations.processes.pop("w1").wait(LIMIT) == 0


def test_who_reads_values_of_another_key_is_told_whose_code_runs(stations: Stations, keys: KeyFolder) -> None:
    """Once of a batch, at the first look; of one's own, of commands and of msgpack there is nothing to say."""
    start(stations, keys, "w1")
    with Pipeline(key=path(keys, "alice")) as alice, Pipeline(key=path(keys, "watch")) as watch:
        batches = {
            "pickled": alice.batch(divmod, [7], [2], name="pickled"),
            "plain": alice.options(serializer="msgpack").batch(divmod, [7], [2], name="plain"),
            "command": alice.batch(["echo", "{}"], ["hi"], name="command"),
        }
        for name, batch in batches.items():
            batch.wait(LIMIT)
            assert len(list(alice.attach(name).values())) == 1  # a warning is an error here
        for name in ("plain", "command"):
            assert len(list(watch.attach(name).outcomes())) == 1
        other = watch.attach("pickled")
        with pytest.warns(UserWarning, match="submitted with the key 'alice'.*unpickled") as warned:
            assert list(other.values()) == [(3, 1)]
        assert warned[0].filename == __file__
        assert [outcome.value for outcome in other.follow()] == [(3, 1)]


def test_a_run_goes_on_from_ones_own_runs_only(stations: Stations, keys: KeyFolder, cli: Cli) -> None:
    """What another key's batch says to be of the same call, and what it says to have come of it, counts for nothing."""
    start(stations, keys, "w1")
    keys.new(Role.SUBMIT, "bob")
    until(lambda: stations.log("ventilator").read_bytes().count(b" key_added: ") == 1)
    for name, is_resumed in (("alice", False), ("bob", False), ("alice", True)):
        done = cli("run", "--key", path(keys, name), "--resume", "echo", ":::", "a")
        assert (done.returncode, done.stdout) == (0, b"a\n")
        assert (b"resumed: 1 of 1" in done.stderr) == is_resumed, done.stderr


def test_whose_a_batch_is_and_who_changed_what(stations: Stations, keys: KeyFolder, cli: Cli) -> None:
    """The list has the name of the key, and so has the ventilator's log of what is submitted and ordered."""
    start(stations, keys, "w1")
    for key in ("alice", "admin"):
        assert cli("submit", "--wait", "--key", path(keys, key), "--name", key, "true", ":::", "1").returncode == 0
    head, *lines = cli("batches", "--key", path(keys, "watch")).stdout.decode().splitlines()
    assert head.split()[:4] == ["BATCH", "NAME", "OWNER", "JOBS"]
    assert [line.split()[1:3] for line in lines] == [["admin", "admin"], ["alice", "alice"]]
    for order in (["delete", "alice"], ["drain", "workers/w1"]):
        assert cli(*order, "--key", path(keys, "admin")).returncode == 0
    assert stations.processes.pop("w1").wait(LIMIT) == 0
    log = stations.log("ventilator").read_text()
    assert re.findall(r" (\w+): .* key=(alice|admin)$", log, re.MULTILINE) == [
        ("submitted", "alice"),
        ("submitted", "admin"),
        ("delete_asked", "admin"),
        ("drain_asked", "admin"),
    ]


def test_a_revoked_client_is_cut_off_and_told(stations: Stations, keys: KeyFolder, cli: Cli) -> None:
    """Its open session ends with Refused, within a second or so; others do not notice; it does not come back."""
    start(stations, keys, "w1")
    copy = keys.path.parent / "copy.key"
    copy.write_bytes((keys.path / "alice.key").read_bytes())
    copy.chmod(0o600)
    with Pipeline(key=path(keys, "admin")) as admin:
        alice = Pipeline(key=copy)
        future = alice.submit(time.sleep, 600)
        until(lambda: admin.status().leased == 1)
        keys.revoke("alice")
        with pytest.raises(errors.Refused, match="revoked"):
            future.result(LIMIT)
        with pytest.raises(errors.Refused):
            alice.submit(abs, 1)
        alice.shutdown(wait=False)
        with pytest.raises(errors.Refused):
            Pipeline(key=copy)
        done = cli("status", "--key", str(copy))
        assert (done.returncode, done.stderr.count(b"\n")) == (4, 1)
        admin.cancel("last")


def test_a_revoked_worker_is_cut_off(stations: Stations, keys: KeyFolder, folder: Path) -> None:
    """It ends with exit code 4 and one line; what it ran runs elsewhere, and the other worker stays."""
    start(stations, keys, "w1")
    stations.start("w2", key=path(keys, "gpu"))
    with Pipeline(key=path(keys, "admin")) as admin:
        until(lambda: len(admin.workers()) == 2)
        batch = admin.batch(gated, [str(folder / "gate")] * 4)
        until(lambda: all(worker.jobs for worker in admin.workers()))
        keys.revoke("gpu")
        assert stations.processes.pop("w2").wait(LIMIT) == 4
        assert b"revoked" in stations.log("w2").read_bytes().splitlines()[-1]
        assert b"Traceback" not in stations.log("w2").read_bytes()
        (folder / "gate").touch()
        assert {outcome.worker for outcome in batch.outcomes()} == {"workers/w1"}


def test_an_unknown_key_gets_in_when_it_is_added(stations: Stations, keys: KeyFolder) -> None:
    """A worker that was started too early tries on, says so once, and joins; nothing is restarted."""
    listed = (keys.path / "peers.json").read_bytes()
    new = keys.new(Role.WORK, "early")
    after = (keys.path / "peers.json").read_bytes()
    (keys.path / "peers.json").write_bytes(listed)
    start(stations, keys)
    stations.start("w1", key=str(new))
    until(lambda: b' why="it hung up: it does not know this key' in stations.log("w1").read_bytes())
    (keys.path / "peers.json").write_bytes(after)
    until(lambda: b"worker=early/w1" in stations.log("ventilator").read_bytes())


def test_a_client_with_an_unknown_key_says_so(
    stations: Stations, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Refused, not a wait for ever: also with the key of another pipeline, and without any."""
    monkeypatch.setattr(leaving, "CONNECT_TIMEOUT", 4.0)
    start(stations, keys)
    other = make_keys(folder / "other", stations.url)
    with pytest.raises(errors.Refused, match="hung up on this key: the key is not on the list there"):
        Pipeline(key=path(other, "alice"))
    with pytest.raises(errors.Refused, match="--key"):
        Pipeline(stations.url)
    monkeypatch.setenv("PENSTOCK_KEY", path(keys, "alice"))
    with Pipeline(stations.url) as pipeline:
        assert pipeline.status().security == "keys"


def test_a_sink_elsewhere_learns_of_keys(stations: Stations, keys: KeyFolder, folder: Path, cli: Cli) -> None:
    """With a list of its own, an old one: who is revoked at the head is cut off there, who is new gets in; and again
    after the sink has started anew."""
    of_sink = folder / "of-sink"
    of_sink.mkdir(mode=0o700)
    for name in ("sink.key", "peers.json"):
        shutil.copy2(keys.path / name, of_sink)
    stations.start("ventilator", key=str(keys.path))
    stations.start("sink", key=str(of_sink))
    until(lambda: b" sink_joined: " in stations.log("ventilator").read_bytes())
    alice = key_of(keys, "alice")
    with door(stations.url, "results", alice) as results:
        assert results.answer() == "let in"
        cli("keys", "revoke", "alice", "--keys", str(keys.path))
        assert results.got(zmq.Event.DISCONNECTED, 10_000)
    until(lambda: knock(stations.url, "results", alice) == "refused")
    keys.new(Role.SUBMIT, "bob")
    until(lambda: knock(stations.url, "results", key_of(keys, "bob")) == "let in")
    assert stations.end("sink") == 0
    stations.start("sink", key=str(of_sink))
    until(lambda: knock(stations.url, "results", alice) == "refused")


def test_rotation_stops_nothing(stations: Stations, keys: KeyFolder, folder: Path) -> None:
    """A second key beside the first, then the first alone is revoked: the new one never noticed."""
    start(stations, keys, "w1")
    old = key_of(keys, "alice")
    keys.new(Role.SUBMIT, "alice")
    new = key_of(keys, "alice")
    until(lambda: knock(stations.url, "desk", new) == "let in")
    assert knock(stations.url, "desk", old) == "let in"
    with Pipeline(key=path(keys, "alice")) as pipeline:
        future = pipeline.submit(gated, str(folder / "gate"))
        keys.revoke("alice", old=True)
        until(lambda: knock(stations.url, "desk", old) == "refused")
        (folder / "gate").touch()
        assert future.result(LIMIT) is None


def test_a_worker_answers_only_for_what_it_was_given(stations: Stations, keys: KeyFolder, folder: Path) -> None:
    """An outcome under another's id or name, or without the token of its lease, is dropped; the job runs as it must."""
    start(stations, keys, "w1")
    gpu = key_of(keys, "gpu")
    with Pipeline(key=path(keys, "admin")) as admin:
        batch = admin.batch(gated, [str(folder / "gate")])
        (worker,) = until(admin.workers)
        until(lambda: admin.status().leased == 1)
        head = OutcomeHead(bytes.fromhex(batch.id), 0, 1, JobState.SUCCEEDED, True, Stamp(), 1, 0, 0.0, 0.0, 0)
        with door(stations.url, "outcomes", gpu) as outcomes:
            assert outcomes.answer() == "let in"
            for sender, name in (
                (bytes.fromhex(worker.id), "workers/w1"),
                (b"x" * 16, "workers/w1"),
                (b"x" * 16, "gpu/x"),
            ):
                outcomes.say(Outcomes(sender, name, (head,)))
            until(lambda: b" outcome_refused: " in stations.log("sink").read_bytes())
        assert b"not for the key gpu to say" in stations.log("sink").read_bytes()
        (folder / "gate").touch()
        (outcome,) = batch.outcomes()
        assert (outcome.worker, outcome.elapsed > 0) == ("workers/w1", True)


def test_nobody_hears_what_is_said_to_another(stations: Stations, keys: KeyFolder) -> None:
    """A worker's key subscribes to everything, and to a colleague's id: it gets nothing, and disturbs nobody."""
    start(stations, keys, "w1")
    with Pipeline(key=path(keys, "admin")) as admin:
        (worker,) = until(admin.workers)
        victim = bytes.fromhex(worker.id)
        with door(stations.url, "control", key_of(keys, "gpu"), victim) as control:
            control.socket.subscribe(b"")
            assert control.answer() == "let in"
            for _ in range(20):
                assert admin.submit(abs, -1).result(LIMIT) == 1
            assert not control.socket.poll(200)
            with door(stations.url, "report", key_of(keys, "gpu")) as report:
                assert report.answer() == "let in"
                report.say(Hello(victim, 1, 1, 99, "workers/w1", "h", 1, 64, 64, (), "3"))
        assert admin.submit(abs, -2).result(LIMIT) == 2
        assert [one.name for one in admin.workers()] == ["workers/w1"]
    assert b" worker_lost: " not in stations.log("ventilator").read_bytes()


@pytest.mark.parametrize(
    ("attribute", "broken", "said"),
    [
        ((Security, "on_bind"), lambda *_: None, "a peer without a key .* was let in|its own key .* was refused"),
        ((Guard, "verdict"), lambda *_: b"200", "a throw-away key .* was let in"),
        ((Guard, "verdict"), lambda *_: b"400", "its own key .* was refused"),
    ],
)
def test_a_lock_that_does_not_hold_is_noticed(
    keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, attribute: tuple[Any, str], broken: Any, said: str
) -> None:
    """Each way in which CURVE and ZAP fail open or shut ends the start with one line."""
    own = key_of(keys, "ventilator")
    ventilator_links(own.url, Security(own, keys.path)).close()
    monkeypatch.setattr(*attribute, broken)
    with pytest.raises(errors.ConfigError, match=said):
        ventilator_links(own.url, Security(own, keys.path))


def test_without_the_list_nothing_starts(keys: KeyFolder, cli: Cli) -> None:
    """One line, exit code 2."""
    (keys.path / "peers.json").unlink()
    for station in ("ventilator", "sink"):
        done = cli(station, "--key", str(keys.path))
        assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_a_list_that_breaks_changes_nothing(stations: Stations, keys: KeyFolder) -> None:
    """Half-written or gone, the last list that could be read holds, and the log says so."""
    start(stations, keys, "w1")
    (keys.path / "peers.json").write_text("[{")
    until(lambda: b" keys_unreadable: " in stations.log("ventilator").read_bytes())
    with Pipeline(key=path(keys, "alice")) as pipeline:
        assert pipeline.submit(abs, -1).result(LIMIT) == 1


def test_up_runs_with_keys(folder: Path, cli: Cli) -> None:
    """`keys init`, `up`, and two exports: all of the command line works, `--insecure` is not needed."""
    url = free_url()
    export = cli("keys", "init", url).stdout.decode().split("=", 1)[1].strip()
    with (
        (folder / "up.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "penstock", "up", "--key", export, "--slots", "1"],
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == f"export PENSTOCK_URL={url}\n".encode()
        assert process.stdout.readline() == f"export PENSTOCK_KEY={export}\n".encode()
        assert cli("run", "--key", export, "echo", ":::", "a").stdout == b"a\n"
        assert b"security  keys" in cli("status", env={"PENSTOCK_KEY": export}).stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 130


def test_insecure_is_said(stations: Stations, cli: Cli) -> None:
    """Beyond this machine without keys: refused, unless the user says so; then `status` says so too."""
    port = stations.url.rpartition(":")[2]
    stations.url = f"tcp://0.0.0.0:{port}"
    stations.start("ventilator")
    assert stations.processes.pop("ventilator").wait(LIMIT) == 2
    assert b"penstock keys init" in stations.log("ventilator").read_bytes()
    stations.start("ventilator", "sink", insecure=True)
    with Pipeline(f"tcp://127.0.0.1:{port}") as pipeline:
        assert pipeline.status().security == "insecure"
    assert b"INSECURE" in cli("status", "--url", f"tcp://127.0.0.1:{port}").stdout


def test_a_pipeline_can_refuse_pickles(stations: Stations) -> None:
    """Calls travel as msgpack there, and commands as ever; a pickle is refused with the words that help."""
    stations.start("ventilator", "sink", "w1", no_pickle=True)
    with Pipeline(stations.url) as pipeline:
        with pytest.raises(errors.Refused, match="serializer='msgpack'"):
            pipeline.submit(abs, -1).result(LIMIT)
        with pytest.raises(errors.Refused, match="serializer='msgpack'"):
            pipeline.batch(abs, [-1])
        with pytest.raises(errors.Refused, match="serializer='msgpack'"):
            list(pipeline.map(abs, [-1]))
        plain = pipeline.options(serializer="msgpack")
        assert plain.submit(abs, -1).result(LIMIT) == 1
        assert list(plain.map(divmod, [7, 8], [2, 3])) == [[3, 1], [2, 2]]
        assert list(pipeline.batch(len, [[1, 2], {"a": 1}], serializer="msgpack").values()) == [2, 1]
        assert pipeline.command(["echo", "hi"]).result(LIMIT).stdout == b"hi\n"


def test_a_worker_can_refuse_pickles(stations: Stations) -> None:
    """What another's ventilator lets through is not given to it: the job waits for one that opens it, and says so."""
    stations.start("ventilator", "sink")
    stations.start("w1", no_pickle=True)
    with Pipeline(stations.url) as pipeline:
        batch = pipeline.batch(abs, [-1])
        until(lambda: "no worker that opens pickles is connected" in batch.why(0))
        batch.cancel()
        assert pipeline.options(serializer="msgpack").submit(abs, -1).result(LIMIT) == 1


def test_who_may_only_look_is_told_so_by_the_sink(stations: Stations, keys: KeyFolder) -> None:
    """To claim outcomes takes them from others: refused, with one line, at once."""
    start(stations, keys)
    with Pipeline(key=path(keys, "watch")) as pipeline:
        session = pipeline.engine.session
        assert session is not None
        with pytest.raises(errors.Refused, match="the key watch has the role observe"):
            session.fetch(lambda number: Claim(number, bytes(16), bytes(16), 1, 1))


def test_outcomes_are_given_to_their_own_key(stations: Stations, keys: KeyFolder) -> None:
    """A named queue shares the outcomes of its key's batches among its readers: another key that submits gets none,
    with its own hands either, and takes none away."""
    start(stations, keys, "w1")
    keys.new(Role.SUBMIT, "bob")
    until(lambda: stations.log("ventilator").read_bytes().count(b" key_added: ") == 1)
    with Pipeline(key=path(keys, "alice")) as alice, Pipeline(key=path(keys, "bob")) as bob:
        batch = alice.batch(abs, [-1], name="shared")
        batch.wait(LIMIT)
        mine, session = alice.engine.session, bob.engine.session
        assert mine is not None
        assert session is not None
        with pytest.raises(queue.Empty):
            SharedFinished(session, "shared").get(timeout=1)
        for token in (b"", b"t" * 16):
            claim = partial(Claim, batch=bytes.fromhex(batch.id), reader=bytes(16), jobs=1, received=1, token=token)
            with pytest.raises(errors.Refused, match="is not of the key bob: its outcomes are given to others"):
                session.fetch(claim)
        assert SharedFinished(mine, "shared").get(timeout=LIMIT).value == 1


def test_a_key_that_starts_too_many_workers_is_stopped(stations: Stations, keys: KeyFolder) -> None:
    """Beyond the limit a new id hears nothing, the log says so, and workers that are there go on."""
    limits = Limits(worker_starts=0.03)  # three at once; one is the worker's own
    stations.start("ventilator", "sink", "w1", key=str(keys.path), limits=limits)
    until(lambda: b" worker_joined: " in stations.log("ventilator").read_bytes())
    with door(stations.url, "control", key_of(keys, "workers")) as control:
        assert control.answer() == "let in"
        for number in range(5):
            control.socket.subscribe(bytes([number]) * 16)
        control.socket.poll(0)  # only now libzmq sends them
        until(lambda: b" too_many_starts: " in stations.log("ventilator").read_bytes())
    with Pipeline(key=path(keys, "alice")) as pipeline:
        assert pipeline.submit(abs, -1).result(LIMIT) == 1
