"""`penstock doctor`, beside real stations: each thing that can be wrong on the way is found."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock import cli
from penstock.cli.commands import doctor_machine, doctor_reach
from penstock.cli.commands.doctor_reach import Finding
from penstock.keys.files import KeyFolder
from penstock.wire import frames
from support.keyed_pipeline import make_keys, start
from support.stations import Stations, until

DOORS = ("desk", "report", "jobs", "outcomes", "control", "results")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot has a test of its own."""
    monkeypatch.setattr(doctor_machine, "slot", lambda: Finding("slot", "ok", ""))


def doctor(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the lines by what was looked at."""
    try:
        code = cli.main(["doctor", "--json", *words])
    finally:
        os.environ.pop("PENSTOCK_KEY", None)  # --key puts it there
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    return code, {line["check"]: line for line in lines}


def wrong(lines: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What is wrong, and what is said of it."""
    return {name: line["said"] for name, line in lines.items() if line["state"] == "wrong"}


@pytest.fixture
def keys(folder: Path, url: str) -> KeyFolder:
    """The keys of a pipeline at `url`."""
    return make_keys(folder, url)


def path(keys: KeyFolder, name: str) -> str:
    return str(keys.path / f"{name}.key")


def test_all_is_well(stations: Stations, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, a line for each port and door and for all that the pipeline says of itself."""
    stations.start("ventilator", "sink", "w1")
    until(lambda: b" sink_joined: " in stations.log("ventilator").read_bytes())
    until(lambda: b" worker_joined: " in stations.log("ventilator").read_bytes())
    code, lines = doctor(capfd, "--url", stations.url)
    assert (code, wrong(lines)) == (0, {})
    doors = set(DOORS) | {f"{name} door" for name in DOORS}
    assert doors | {"key", "url", "name", "penstock", "clock", "sink", "workers", "python", "disk"} < lines.keys()


@pytest.mark.parametrize("name", ["alice", "gpu"])
def test_all_is_well_with_a_key(
    stations: Stations, keys: KeyFolder, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """A client's key tries the doors of clients and asks; a worker's tries those of workers. The key says where."""
    start(stations, keys, "w1")
    code, lines = doctor(capfd, "--key", path(keys, name))
    assert (code, wrong(lines)) == (0, {})
    assert {check for check in lines if check.endswith("door")} == (
        {"desk door", "results door"}
        if name == "alice"
        else {"report door", "jobs door", "outcomes door", "control door"}
    )


def test_what_is_wrong_before_anybody_is_asked(keys: KeyFolder, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A key that others can read, a URL that is none, a name without an address, ports where nobody listens; and what
    does not depend on the way is looked at all the same."""
    Path(path(keys, "alice")).chmod(0o644)
    code, lines = doctor(capfd, "--key", path(keys, "alice"))
    assert (code, list(wrong(lines))) == (1, ["key"])
    assert "chmod 600" in lines["key"]["said"]
    assert lines["disk"]["state"] == "ok"
    assert "write tcp://" in wrong(doctor(capfd, "--url", "head")[1])["url"]
    assert "no-such.invalid has no address" in wrong(doctor(capfd, "--url", "tcp://no-such.invalid:5555")[1])["name"]
    found = wrong(doctor(capfd, "--url", url)[1])
    assert list(found) == list(DOORS)
    assert "`penstock sink`" in found["outcomes"]
    assert "`penstock ventilator`" in found["desk"]
    assert list(wrong(doctor(capfd, "--url", "ipc:///nowhere")[1])) == list(DOORS)


def test_a_key_that_is_not_let_in(
    stations: Stations,
    keys: KeyFolder,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None, one that was revoked, one of another pipeline: the doors say so. That of a stopped station knows no key."""
    start(stations, keys)
    monkeypatch.setattr(doctor_reach, "HANDSHAKE_TIME", 3.0)
    found = wrong(doctor(capfd, "--url", stations.url)[1])
    assert list(found) == [f"{name} door" for name in DOORS]
    assert all("without a key" in said for said in found.values()), found
    other = make_keys(folder / "other", stations.url)
    assert "not let in: the key" in wrong(doctor(capfd, "--key", path(other, "alice"))[1])["desk door"]
    revoked = Path(path(keys, "alice")).read_text()
    keys.revoke("alice")
    (keys.path / "gone.key").write_text(revoked)
    (keys.path / "gone.key").chmod(0o600)
    until(lambda: all(b" key_revoked: " in stations.log(name).read_bytes() for name in ("ventilator", "sink")))
    assert "not let in: the key was revoked" in wrong(doctor(capfd, "--key", path(keys, "gone"))[1])["desk door"]
    stations.processes["ventilator"].send_signal(signal.SIGSTOP)
    found = wrong(doctor(capfd, "--key", path(keys, "admin"))[1])
    assert found["desk door"].startswith("no answer in the handshake")


def test_a_pipeline_of_another_penstock(
    stations: Stations, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its desk answers in another version of the protocol."""
    stations.start("ventilator", "sink")
    until(lambda: b" sink_joined: " in stations.log("ventilator").read_bytes())
    monkeypatch.setattr(frames, "SIGNATURE", b"PNS\x09")
    assert "install one penstock on both sides" in wrong(doctor(capfd, "--url", stations.url)[1])["pipeline"]


def test_a_slot_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that does not run: no job does."""
    monkeypatch.undo()
    assert doctor_machine.slot().state == "ok"
    monkeypatch.setattr(sys, "executable", "/bin/false")
    found = doctor_machine.slot()
    assert (found.state, "no job runs here" in found.said) == ("wrong", True)


def test_lines_for_people(capfd: pytest.CaptureFixture[str], url: str) -> None:
    """One line for each thing, which begins with its state."""
    assert cli.main(["doctor", "--url", url]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) > len(DOORS)
    assert all(line.startswith(("ok     ", "warn   ", "wrong  ")) for line in lines)
