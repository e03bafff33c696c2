"""``penstock`` and ``python -m penstock``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; returns its exit code."""
    from penstock.cli import main as run  # noqa: PLC0415 - a job that imports this module must not load the command line
    from penstock.cli import signals, streams  # noqa: PLC0415 - likewise

    streams.adopt()
    sys.set_int_max_str_digits(0)  # a number is shown whole, however long it is
    try:
        signals.adopt()
        return run()
    except KeyboardInterrupt as end:  # in the moment before or after a command
        return signals.exit_code(end)


if __name__ == "__main__":
    sys.exit(main())
