"""``penstock`` and ``python -m penstock``."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line; returns its exit code."""
    if os.getpid() == 1:
        from penstock.reaper import stand_before  # noqa: PLC0415 - in containers only

        stand_before()
    from penstock.cli import main as run  # noqa: PLC0415 - a job that imports this module must not load the command line

    return run()


if __name__ == "__main__":
    sys.exit(main())
