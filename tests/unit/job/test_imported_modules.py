"""Modules that somebody else imports."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penstock.job.imported_modules import imported
from support.stations import LIMIT

NAME = "a_module_that_takes_long"
TEXT = """
import penstock.job.imported_modules as here
here.begun.set()
assert here.go_on.wait(60)
value = 1
"""


def test_what_nobody_has_imported_is_not() -> None:
    """Nor is it imported by the question."""
    assert imported("wave") is None
    assert "wave" not in sys.modules
    assert imported("os.path") is sys.modules["os.path"]


def test_what_another_thread_imports_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: who takes it out of sys.modules has one without its names."""
    (tmp_path / f"{NAME}.py").write_text(TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    begun, go_on, found = threading.Event(), threading.Event(), list[ModuleType | None]()
    here: Any = sys.modules["penstock.job.imported_modules"]
    monkeypatch.setattr(here, "begun", begun, raising=False)
    monkeypatch.setattr(here, "go_on", go_on, raising=False)
    threads = [threading.Thread(target=importlib.import_module, args=(NAME,))]
    threads[0].start()
    assert begun.wait(LIMIT)
    half: Any = sys.modules[NAME]
    assert not hasattr(half, "value")
    threads += [threading.Thread(target=lambda: found.append(imported(NAME))) for _ in range(8)]
    for thread in threads[1:]:
        thread.start()
    assert found == []
    go_on.set()
    for thread in threads:
        thread.join(LIMIT)
    monkeypatch.delitem(sys.modules, NAME)
    assert found == [half] * 8
    assert half.value == 1
