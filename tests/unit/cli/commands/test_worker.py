"""`penstock worker`: times that cannot be meant."""

from __future__ import annotations

import pytest

from penstock.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--time-limit", "60"], "no time to work"),
        (["--time-limit", "1h", "--drain-before", "2h"], "no time to work"),
        (["--idle-timeout", "soon"], "'--idle-timeout': 'soon' is not a duration"),
    ],
)
def test_nothing_is_started_with_times_that_cannot_be(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2."""
    assert main(["worker", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
