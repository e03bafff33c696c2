"""How far a reader of events has come, in a file: it survives the reader."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from penstock.errors import ConfigError
from penstock.job.private_file import open_private


class Cursor:
    """In the file at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> int | None:
        """The number of the last event that is done; None: there is no such file. Raises ConfigError."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=int)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{self.path} does not say how far events were read: {error}") from None

    def save(self, number: int) -> None:
        """This event is done, and those before it: on the disk when this returns. Raises ConfigError."""
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(open_private(new, os.O_WRONLY | os.O_TRUNC), "wb") as file:
                file.write(msgspec.json.encode(number))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from None
