"""The guide's page `reference` is what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from penstock import errors, guide
from penstock.client.options import AROUND, COMMAND_PARSERS
from penstock.exit_codes import MEANINGS

SCRIPT = Path(__file__).parents[1] / "scripts" / "reference.py"


def test_the_page_is_what_the_code_says() -> None:
    """Made anew it is the same; else scripts/reference has to be run."""
    made = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    assert guide.page("reference").text == made.stdout


def test_what_must_be_found_is_in_it() -> None:
    """Every job option, exit code and error, a setting with its flag, a name of Python's."""
    page = guide.page("reference").text
    wanted = [f"**{name}**" for name in (*COMMAND_PARSERS, *AROUND, *MEANINGS)]
    raised = [
        name for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__module__ == errors.__name__
    ]
    wanted += [f"**{name}**" for name in raised]
    wanted += ["**PENSTOCK_DATA** (`--data`", "`imap_unordered()`"]
    assert [text for text in wanted if text not in page] == []
