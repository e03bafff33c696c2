"""The disk with the data folder fills up: nothing unsaved is acknowledged, and it goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import Cli
from support.fault_pipeline import World
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


def test_full_disk_stops_the_sink_until_there_is_room(small_disk: Path, world: World) -> None:
    """Outcomes wait at their worker meanwhile; every one is recorded in the end."""
    pipeline = world.up("w1", slots=2)
    batch = pipeline.batch(lambda index: bytes(VALUE_BYTES) + b"%d" % index, range(JOBS))
    log = world.stations.log("sink")
    until(lambda: "disk_full" in log.read_text(), what="the disk is full")
    words = f"the sink records nothing: {small_disk.parent}/results.db: the disk is full"
    until(lambda: words in pipeline.status().trouble, what="who asks is told of it")
    small_disk.unlink()
    assert [value[VALUE_BYTES:] for value in batch.values()] == [b"%d" % index for index in range(JOBS)]
    assert "disk_has_room" in log.read_text()
    until(lambda: not pipeline.status().trouble, what="all is well again")


def test_full_disk_stops_the_ventilator_until_there_is_room(small_disk: Path, world: World, cli: Cli) -> None:
    """What cannot be stored is not accepted and waits at its client; `status` and `doctor` say why, and when there is
    room it is accepted."""
    pipeline = world.up()
    log = world.stations.log("ventilator")
    with ThreadPoolExecutor(1) as thread:
        submitted = thread.submit(pipeline.batch, len, [os.urandom(VALUE_BYTES) for _ in range(JOBS)])
        until(lambda: "disk_full" in log.read_text(), what="the disk is full")
        words = f"the ventilator takes nothing in: {small_disk.parent}/queue.db: the disk is full"
        for command in ("status", "doctor"):
            done = cli(command, "--url", world.stations.url)
            assert words in done.stdout.decode(), done
        assert not submitted.done()
        small_disk.unlink()
        batch = submitted.result(LIMIT)
    assert pipeline.status().trouble == ""
    world.start("w1")
    assert list(batch.values()) == [VALUE_BYTES] * JOBS
