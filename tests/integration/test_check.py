"""`penstock check`: what is damaged in the stores of a folder is listed, and mended when that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.cli import main
from penstock.exit_codes import FAILURE, SUCCESS, WRONG_USE
from penstock.sink.store import ResultStore
from penstock.ventilator.store import QueueStore
from support.damage_sweep import BATCHES, fill_queue, fill_results, payload


@pytest.fixture
def data(folder: Path) -> Path:
    """A folder with both stores."""
    (folder / "data").mkdir(mode=0o700)
    fill_queue(folder / "data")
    fill_results(folder / "data")
    return folder / "data"


def flip(path: Path, mark: bytes) -> None:
    """Wherever it is: a file has old copies of what was moved in it."""
    content = path.read_bytes()
    assert mark in content
    path.write_bytes(content.replace(mark, mark[:-1] + bytes([mark[-1] ^ 1])))


def check(data: Path, *options: str) -> int:
    return main(["check", "--data", str(data), *options])


def test_sound_stores_are_said_to_be(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, and the exit code that scripts look at."""
    assert check(data) == SUCCESS
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["sound", "queue.db"],
        ["sound", "results.db"],
    ]


def test_damage_is_listed_then_mended_then_gone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is changed by looking."""
    queue, results = data / "queue.db", data / "results.db"
    flip(queue, payload(BATCHES[3], 50))
    flip(results, b"values of 4 from 50. " * 2)
    for _ in range(2):
        assert check(data, "--json") == FAILURE
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(one["store"], one["state"]) for one in found] == [("queue.db", "damaged"), ("results.db", "damaged")]
        assert "the arguments of chunk 50 of batch number 4" in found[0]["said"]
        assert found[1]["said"].endswith("its jobs run again, or are dead")
    assert check(data, "--repair") == SUCCESS
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["mended", "mended"]
    assert check(data) == SUCCESS
    store = QueueStore(data, durable=False)
    assert store.must_compare
    assert len(store.kept(BATCHES[3], 0, 1000)) == 11
    store.close()


def test_a_file_that_cannot_be_opened_is_put_together_anew(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The old one is kept beside it; a station says what to do."""
    results = data / "results.db"
    page = results.read_bytes().index(b"values of 4 from 50. ") // 4096 * 4096
    content = bytearray(results.read_bytes())
    content[page : page + 8] = b"\xff" * 8
    results.write_bytes(content)
    assert check(data) == FAILURE
    assert "penstock check --repair" in capsys.readouterr().out
    assert check(data, "--repair") == SUCCESS
    assert (data / "results.db.damaged").read_bytes() == content
    assert check(data) == SUCCESS
    store = ResultStore(data, durable=False)
    assert 0 < len(store.lines_after(0, 10_000)[3]) < 264
    store.close()


def test_a_broken_header_is_that_of_a_new_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of the rows is lost by it."""
    (data / "queue.db").write_bytes(b"x" * 4096 + (data / "queue.db").read_bytes()[4096:])
    assert check(data) == FAILURE
    assert check(data, "--repair") == SUCCESS
    capsys.readouterr()
    store = QueueStore(data, durable=False)
    assert [batch.batch for batch in store.batches()] == BATCHES[:-1]
    assert store.chunk(BATCHES[3], 50) == payload(BATCHES[3], 50)
    store.close()


def test_what_is_no_store_is_left_as_it_is(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and looks at the other file all the same."""
    (data / "queue.db").write_bytes(b"x" * 100_000)
    assert check(data, "--repair") == FAILURE
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["broken", "queue.db"],
        ["lost", "queue.db"],
        ["sound", "results.db"],
    ]
    assert (data / "queue.db").read_bytes() == b"x" * 100_000
    assert not list(data.glob("*.mending"))


def test_the_stations_must_be_stopped(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who has the folder is named."""
    store = QueueStore(data, durable=False)
    assert check(data) == WRONG_USE
    assert "queue.db is in use by process" in capsys.readouterr().err
    store.close()
    assert check(data / "nothing") == WRONG_USE
