"""What the tests of the cores share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.core_benches import VentilatorBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[VentilatorBench]:
    """A ventilator with its sink."""
    made = VentilatorBench(tmp_path)
    made.sink()
    yield made
    made.store.close()
