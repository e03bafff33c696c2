"""A function with its surroundings: where, among which variables and after what it runs."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from penstock.client.functions import Functions
from penstock.job.bundle import LoadedFunction
from penstock.job.wrappers import Initializer, Prepared, Surroundings

ran: list[tuple[str, str]] = []


def remember(word: str) -> None:
    """An initializer that sees where it is."""
    ran.append((word, os.getcwd()))


def fail(text: str) -> None:
    """One that does not work."""
    raise ValueError(text)


def look(name: str) -> tuple[str, str | None]:
    """Where a job is, and a variable."""
    return os.getcwd(), os.environ.get(name)


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
def test_a_job_is_somewhere_and_leaves_no_trace(tmp_path: Path, serializer: str) -> None:
    """Its folder and its variables are there for the job only, after an initializer that was there too."""
    before = os.getcwd(), dict(os.environ)
    initializer = Initializer(os.urandom(16), remember, (serializer,))
    surroundings = Surroundings(str(tmp_path), {"HERE": "yes", "HOME": "/nowhere"})
    blob = Functions().serialized(Prepared(look, initializer, surroundings), serializer).code
    function = LoadedFunction(blob, serializer).runner("item")
    assert ran[-1] == (serializer, str(tmp_path))
    assert function("HERE") == (str(tmp_path), "yes")
    assert function("HOME") == (str(tmp_path), "/nowhere")
    assert (os.getcwd(), dict(os.environ)) == before
    LoadedFunction(blob, serializer)
    assert len([word for word, _ in ran if word == serializer]) == 1


def test_a_missing_folder_is_the_error_of_the_job(tmp_path: Path) -> None:
    """Never another folder."""
    function = pickle.loads(pickle.dumps(Prepared(look, None, Surroundings(str(tmp_path / "gone")))))
    with pytest.raises(FileNotFoundError, match=f"cannot run in the folder {tmp_path}/gone: No such file"):
        function("HOME")


def test_what_an_initializer_raises_says_so() -> None:
    """And it is tried again by the next job that needs it."""
    blob = pickle.dumps(Prepared(look, Initializer(os.urandom(16), fail, ("no licence",)), Surroundings()))
    for _ in range(2):
        with pytest.raises(ValueError, match="no licence") as caught:
            pickle.loads(blob)
        assert caught.value.__notes__ == ["in the initializer"]


def test_without_a_place_nothing_is_around_the_function() -> None:
    """In a slot it costs nothing then."""
    assert pickle.loads(pickle.dumps(Prepared(look, None, Surroundings()))) is look
