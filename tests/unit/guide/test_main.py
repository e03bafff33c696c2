from __future__ import annotations

from pathlib import Path

import pytest

from penstock import guide

PURPOSE_CHARS = 120
"""A list of pages has a line for each, in what most terminals are wide today."""


def test_every_page_is_listed_and_every_listed_page_is_there() -> None:
    """A page that nobody is told of is not read."""
    files = {path.stem for path in Path(guide.__file__).parent.glob("*.md")}
    assert files == set(guide.TOPICS)
    assert [page.topic for page in guide.pages()] == list(guide.TOPICS)


def test_every_page_says_what_it_is_for() -> None:
    """In one sentence of its own, below its title."""
    for page in guide.pages():
        assert page.purpose.endswith("."), page.topic
        assert len(page.purpose) <= PURPOSE_CHARS, page.topic


def test_there_are_no_other_pages() -> None:
    """A topic is a name, not a path."""
    with pytest.raises(KeyError):
        guide.page("../version")
