"""The manual: pages of Markdown that ship with the package, since compute nodes have no internet.

Each page begins with its title and, in a paragraph of its own, the one sentence that says what it is for. The
repository's tests run every block of code in them that can run on one machine.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

TOPICS = (
    *("first-steps", "python", "notebooks", "commands"),
    *("from-gnu-parallel", "from-multiprocessing", "from-celery"),
    *("hosts", "clusters", "keys", "operations", "monitoring", "troubleshooting", "reference"),
    *("architecture", "design", "protocol", "contributing", "security", "changelog"),
)
"""In the order in which somebody new would read them."""

OPENING = re.compile(r"# .+\n\n(?P<purpose>.+)\n\n")


class Page(NamedTuple):
    """One page of the manual."""

    topic: str
    text: str
    """Markdown."""

    @property
    def purpose(self) -> str:
        """What the page is for, in one line: the paragraph below its title."""
        opening = OPENING.match(self.text)
        assert opening is not None, f"{self.topic}.md begins with a title and a line that says what it is for"
        return opening["purpose"]


def page(topic: str) -> Page:
    """The page on this topic. Raises KeyError: there is none."""
    if topic not in TOPICS:
        raise KeyError(topic)
    return Page(topic, Path(__file__).with_name(f"{topic}.md").read_text(encoding="utf-8"))


def pages() -> list[Page]:
    """All pages, in the order in which they are to be read."""
    return [page(topic) for topic in TOPICS]
