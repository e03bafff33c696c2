"""Examples that run: ``python -m penstock.examples.NAME``, on the pipeline of PENSTOCK_URL or one of their own.

Here is what they share, so that each is about its subject: what they are asked for, and how they end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from penstock.errors import NoPipeline, PenstockError, Refused
from penstock.exit_codes import FAILURE, INTERRUPTED, NO_PIPELINE, REFUSED, WRONG_USE

EXIT_CODES: dict[type[Exception], int] = {NoPipeline: NO_PIPELINE, Refused: REFUSED}


class Arguments(argparse.ArgumentParser):
    """Of the example of this name, whose docstring is `text`: ``--help`` shows it, and a mistake is one line on stderr,
    exit code 2."""

    def __init__(self, name: str, text: str | None) -> None:
        super().__init__(
            prog=f"python -m penstock.examples.{name}",
            description=text,
            epilog="It uses the pipeline of PENSTOCK_URL (and PENSTOCK_KEY), or brings one of its own.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """What is wrong, and where help is."""
        self.exit(WRONG_USE, f"{self.prog}: {message}; --help says what it takes\n")


def run(main: Callable[[Arguments], int | None], name: str, text: str | None) -> NoReturn:
    """Run an example and leave with its exit code; what the pipeline or the system refuses is one line on stderr."""
    arguments = Arguments(name, text)
    try:
        sys.exit(main(arguments))
    except (PenstockError, OSError) as error:
        arguments.exit(EXIT_CODES.get(type(error), FAILURE), f"{arguments.prog}: {error}\n")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
