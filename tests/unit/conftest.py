"""What the tests of the cores share."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.core_benches import VentilatorBench


@pytest.fixture
def bench(tmp_path: Path) -> VentilatorBench:
    """A ventilator with its sink."""
    made = VentilatorBench(tmp_path)
    made.sink()
    return made
