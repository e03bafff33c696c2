"""`penstock guide`."""

from __future__ import annotations

import pytest

from penstock import cli, guide
from penstock.cli.commands.guide import _laid_out


def test_without_a_topic_it_lists_all_pages(capsys: pytest.CaptureFixture[str]) -> None:
    """Piped: a line for each, what it is called and what it is for."""
    assert cli.main(["guide"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [[page.topic, page.purpose] for page in guide.pages()]


def test_piped_a_page_is_the_markdown_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """So that grep and editors have it as it was written."""
    assert cli.main(["guide", "keys"]) == 0
    assert capsys.readouterr() == (guide.page("keys").text, "")


@pytest.mark.parametrize(
    ("topic", "close"), [("clustr", "clusters"), ("Python", "python"), ("parallel", "from-gnu-parallel")]
)
def test_an_unknown_topic_names_those_that_are_like_it(
    topic: str, close: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On one line of stderr, with exit code 2."""
    assert cli.main(["guide", topic]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"did you mean {close}" in err


def test_a_topic_that_is_like_none_is_refused_without_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the pages are listed is said all the same."""
    assert cli.main(["guide", "zzzzz"]) == 2
    err = capsys.readouterr().err
    assert "did you mean" not in err
    assert "`penstock guide` lists all pages" in err


@pytest.mark.parametrize("topic", guide.TOPICS)
@pytest.mark.parametrize("width", [60, 80])
def test_on_a_terminal_no_line_is_wider_than_it(topic: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is laid out, and fits."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    from rich.text import Text

    lines = Text.from_ansi(_laid_out(guide.page(topic))).split()
    assert len(lines) > 10
    assert max(line.cell_len for line in lines) <= width
