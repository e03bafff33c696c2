"""The disk with the data folder fills up: nothing unsaved is acknowledged, and it goes on when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import Cli
from jobs.fault import wait
from support.fault_pipeline import LEASE_TIME, World
from support.stations import LIMIT, until

DISK = "64M"
"""Room for the stores, their logs and the results below, without the ballast."""
BALLAST_BYTES = 44_000_000
VALUE_BYTES = 100_000
JOBS = 160


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """The data folder on a file system of its own, with a ballast that can be thrown out."""
    image, data = folder / "disk", folder / "data"
    data.mkdir(mode=0o700)
    subprocess.run(["truncate", "-s", DISK, image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, data], check=False, capture_output=True).returncode:
        pytest.skip("needs to be root to mount a small disk")
    data.chmod(0o700)
    ballast = data / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))
    yield ballast
    subprocess.run(["umount", data], check=True)


def test_full_disk_stops_the_sink_until_there_is_room(small_disk: Path, world: World, folder: Path) -> None:
    """Outcomes wait at their worker meanwhile; every one is recorded in the end."""
    world.start("ventilator", data=str(folder / "ventilator"))  # that has room: it can hear what the sink's trouble is
    world.start("sink", "w1", slots=2)
    pipeline = world.client_of("w1")
    batch = pipeline.batch(lambda index: bytes(VALUE_BYTES) + b"%d" % index, range(JOBS))
    log = world.stations.log("sink")
    until(lambda: "disk_full" in log.read_text(), what="the disk is full")
    words = f"the sink records nothing: {small_disk.parent}/results.db: the disk is full"
    until(lambda: words in pipeline.status().trouble, what="who asks is told of it")
    small_disk.unlink()
    assert [value[VALUE_BYTES:] for value in batch.values()] == [b"%d" % index for index in range(JOBS)]
    assert "disk_has_room" in log.read_text()
    until(lambda: not pipeline.status().trouble, what="all is well again")


def test_full_disk_stops_the_ventilator_until_there_is_room(
    small_disk: Path, world: World, cli: Cli, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be stored is not accepted and waits at its client, which says why, once. Questions are answered;
    orders are refused at once and say why. Workers and sink wait in peace; when there is room all is accepted."""
    pipeline = world.up("w1")
    held = world.batch(wait, 1)
    log = world.stations.log("ventilator")
    url = ("--url", world.stations.url)
    assert cli("submit", *url, "--name", "small", "true", ":::", "1").returncode == 0
    world.started(1)
    with ThreadPoolExecutor(1) as thread, contextlib.ExitStack() as at_last:
        at_last.callback(small_disk.unlink, missing_ok=True)  # else what is submitted would wait for ever
        submitted = thread.submit(pipeline.batch, len, [os.urandom(VALUE_BYTES) for _ in range(JOBS)])
        until(lambda: "disk_full" in log.read_text(), what="the disk is full")
        full_since = time.monotonic()
        words = f"the ventilator takes nothing in: {small_disk.parent}/queue.db: the disk is full"
        for command in ("status", "doctor"):
            done = cli(command, *url)
            assert words in done.stdout.decode(), done
        for question in ("batches", "workers", "jobs small", "why small:0", "show small:0"):
            done = cli(*question.split(), *url)
            assert (done.returncode, words in done.stderr.decode()) == (0, False), (question, done)
        assert b"true 1" in done.stdout, "what it was given, which is on the disk"
        for order in ("cancel small", "delete small", "retry small", "drain w1", f"backup {folder}/copy"):
            done = cli(*order.split(), *url)
            assert (done.returncode, done.stderr.decode().count(words)) == (1, 1), (order, done)
        argv = [sys.executable, "-m", "penstock", "submit", *url, "true", ":::", "2"]
        with (folder / "said").open("wb") as said, subprocess.Popen(argv, stderr=said) as waiting:
            until(lambda: words in (folder / "said").read_text(), what="a client that waits says why")
            until(lambda: words in caplog.text, what="this one too")
            waiting.terminate()
        assert not submitted.done()
        until(lambda: time.monotonic() > full_since + 3 * LEASE_TIME, what="who heard nothing would have said so")
        small_disk.unlink()
        batch = submitted.result(LIMIT)
    assert pipeline.status().trouble == ""
    world.open_gate()
    assert list(batch.values()) == [VALUE_BYTES] * JOBS
    assert [held.wait(LIMIT).succeeded, pipeline.attach("small").wait(LIMIT).succeeded] == [1, 1]
    assert len(world.starts()) == 1, "and it ran once"
    for name in ("w1", "sink"):
        assert not [event for event in ("connects_anew", "lost_touch") if event in world.stations.log(name).read_text()]
    assert [record.message.startswith(words) for record in caplog.records] == [True]


def test_a_small_folder_for_temporary_files_is_said_by_an_embedded_pipeline(folder: Path) -> None:
    """Its caller is told what is full, and where; when there is room what it waits for is done."""
    small = folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], check=False).returncode:
        pytest.skip("needs to be root to mount a small file system")
    try:
        program = (
            "import os, sys; from penstock import Pipeline\n"
            "with Pipeline('local', slots=1) as p:\n"
            "    futures = [p.submit(len, os.urandom(300_000)) for _ in range(40)]\n"
            "print(sum(future.result() for future in futures))\n"
        )
        with (folder / "said").open("wb") as said:
            argv = [sys.executable, "-c", program]
            environment = os.environ | {"TMPDIR": str(small)}
            process = subprocess.Popen(argv, env=environment, stdout=said, stderr=said)
        words = f"the ventilator takes nothing in: {small}/penstock-"
        until(lambda: words in (folder / "said").read_text(), what="it says why it waits")
        subprocess.run(["mount", "-o", "remount,size=100m", small], check=True)
        assert process.wait(LIMIT) == 0
        first, last = (folder / "said").read_text().splitlines()
        assert "queue.db: the disk is full; free some room" in first
        assert last == "12000000"
    finally:
        subprocess.run(["umount", "-l", small], check=True)
