"""What the lines of a job begin with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from penstock.cli.run.composed_commands import Composed
from penstock.cli.run.job_inputs import tag_of, tagging
from penstock.cli.run.replacement_strings import Naming
from penstock.errors import ConfigError

WORK: Any = SimpleNamespace(naming=Naming(), names=[b"n"])


def test_the_arguments_that_were_given() -> None:
    """Not what was made of them; of a call its argument."""
    made = Composed([b"echo", b"x"])
    made.given = (b"a.b", b"c")
    assert (tag_of(made), tag_of([b"a", b"b"]), tag_of("ä")) == (b"a.b c", b"a b", "ä".encode())


def test_a_text_with_replacement_strings() -> None:
    """Also with the names of columns."""
    tag = tagging(WORK, "{#}:{.}/{n} {x}")
    assert tag([b"a.b"], 4) == b"4:a/a.b {x}"
    assert tag("call", 1) == b"1:call/call {x}"


@pytest.mark.parametrize("text", ["{%}", "{= lc =}", "{..}"])
def test_what_cannot_be_known_or_meant_is_refused(text: str) -> None:
    """The slot is known only when a job has started."""
    with pytest.raises(ConfigError):
        tagging(WORK, text)
