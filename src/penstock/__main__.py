"""``penstock`` and ``python -m penstock``."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run the command line; returns its exit code."""
    if os.getpid() == 1:
        from penstock.cli.first_process import stand_before  # noqa: PLC0415 - in containers only

        stand_before()
    try:
        # a job that imports this module must not load the command line
        from penstock.cli import main as run  # noqa: PLC0415
        from penstock.cli import signals, streams  # noqa: PLC0415

        streams.adopt()
        signals.adopt()
        sys.set_int_max_str_digits(0)  # a number is shown whole, however long it is
        return run()
    except KeyboardInterrupt as end:  # in the moment before or after a command
        return 128 + int(getattr(end, "number", signal.SIGINT))


if __name__ == "__main__":
    # `python -m penstock` has the current folder in front of all else: what lies there would be imported in its place
    if not sys.flags.safe_path and sys.path[0] != os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
        del sys.path[0]
    sys.exit(main())
