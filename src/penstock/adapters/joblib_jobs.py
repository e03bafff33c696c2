"""What a slot runs for joblib. It imports neither joblib nor numpy: libraries read how many threads they may use when
they are imported, and that is set first."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def run(batch: Callable[[], Any]) -> Any:
    """A job: some calls that joblib has put together."""
    return batch()


def begin(variables: dict[str, str], initializer: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> None:
    """An initializer: the environment for the rest of this process's life, then the user's own initializer."""
    os.environ.update(variables)
    if initializer is not None:
        initializer(*arguments)
