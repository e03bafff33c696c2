"""penstock(1) is what the command line says of itself, renders cleanly, and comes with the installation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PAGE = TOP / "src" / "penstock" / "penstock.1"

needs_groff = pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not here: apt-get install groff")


def test_the_page_is_what_the_command_line_says() -> None:
    """Made anew from the help of every command it is the same; else scripts/man-page has to be run."""
    made = subprocess.run([sys.executable, TOP / "scripts" / "man_page.py"], capture_output=True, text=True, check=True)
    assert PAGE.read_text() == made.stdout


def test_what_must_be_found_is_in_it() -> None:
    """A command of a group with its arguments, an option with its value, exit codes, environment and files."""
    page = PAGE.read_text()
    for line in (
        '.SS "penstock keys new [OPTION ...] {work|submit|observe|admin} NAME"',
        r"\fB\-\-joblog\fR \fIFILE\fR",
        r"\fBPENSTOCK_URL\fR",
        ".SH EXIT STATUS",
        r"\fB130\fR",
        ".SH FILES",
        ".SH EXAMPLES",
    ):
        assert line in page, line


@needs_groff
def test_it_renders_without_a_warning() -> None:
    """By groff with all its warnings; nothing of the markup is left in what one reads."""
    argv = ["groff", "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-u", str(PAGE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "penstock run" in done.stdout
    assert "\\f" not in done.stdout


def test_it_comes_with_the_installation() -> None:
    """Where man looks for pages of programs in a folder beside it."""
    files = metadata.files("penstock") or []
    assert [path.name for path in files if path.parts[-4:-1] == ("share", "man", "man1")] == ["penstock.1"]
