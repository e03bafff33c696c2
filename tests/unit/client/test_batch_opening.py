"""What a batch begins with."""

from __future__ import annotations

import pytest

from penstock.client.batch_opening import after_as_id, opening_of
from penstock.client.inline import Inline


def test_the_inputs_of_a_command_are_lists_of_arguments() -> None:
    """One word or several for each job; a place that no input fills is found before anything is submitted."""
    opening = opening_of(Inline(), ["mv", "{1}", "{2}"], {"cwd": "/"})
    (inputs,) = opening.inputs([["a", "b"], ["c", "d"]])
    assert opening.spec.kind == "command"
    assert list(inputs) == [[b"a", b"c"], [b"b", b"d"]]
    with pytest.raises(ValueError, match=r"\{2\} in the command"):
        opening.inputs([["a", "b"]])


def test_the_inputs_of_a_function_are_what_they_are() -> None:
    """Its spec knows the client whose calls they are, and the options."""
    engine = Inline()
    opening = opening_of(engine, abs, {"retries": 2})
    iterables = [[1], [2]]
    assert opening.inputs(iterables) is iterables
    assert (opening.spec.kind, opening.spec.retries, opening.spec.client) == ("call", 2, engine.client.word)


def test_a_batch_is_named_before_it_is_waited_for() -> None:
    """``after`` is an id when it is sent, whatever name it was given by; other options stay as they are."""
    engine = Inline()
    first = engine.batch(*opening_of(engine, abs, {"name": "first"})[:2], [[1]])
    assert after_as_id(engine, {"after": "first", "limit": 1}) == {"after": bytes.fromhex(first.id), "limit": 1}
    assert after_as_id(engine, {"after": None, "limit": 1}) == {"after": None, "limit": 1}
