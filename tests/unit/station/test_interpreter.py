"""Starting a Python process that imports what this one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.station.interpreter import command, import_path, output


def test_what_import_ignores_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Path in sys.path finds nothing here, and keeps nobody from starting."""
    monkeypatch.setattr(sys, "path", ["/a", Path("/b"), b"/c", None, ""])
    assert import_path() == ["/a", ""]


def test_a_relative_entry_is_where_it_was_when_it_was_first_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever folder the process has gone to since; one that was never looked into is below where it is now."""
    (tmp_path / "lib_of_test").mkdir()
    (tmp_path / "lib_of_test" / "found_by_test.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, "lib_of_test", "never"])
    __import__("found_by_test")
    os.chdir("/")
    assert import_path()[-2:] == [str(tmp_path / "lib_of_test"), "/never"]


def test_the_folder_it_is_started_in_hides_no_module(tmp_path: Path) -> None:
    """A file json.py lies there."""
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    line = command("-c", "import json, sys; print(sys.argv[1])", "x")
    assert subprocess.run(line, cwd=tmp_path, capture_output=True, check=True).stdout == b"x\n"


def test_without_a_python_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python is embedded into another program its path may not be known."""
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ConfigError, match=r"sys\.executable is empty"):
        command("-c", "")


def test_a_file_that_is_no_standard_file_is_not_handed_on() -> None:
    """What Python opens is not inherited; neither is what is closed."""
    fd = os.open(os.devnull, os.O_WRONLY)
    assert output(fd) == subprocess.DEVNULL
    os.set_inheritable(fd, True)
    assert output(fd) is None
    os.close(fd)
    assert output(fd) == subprocess.DEVNULL
