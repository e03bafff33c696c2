"""Starting a Python process that is to import what this one imports, whatever state this one is in.

A client may have left its folder, closed its standard files, put a Path into sys.path: none of that may keep a process
that is started from it from coming up, and what it imports is what the client would.
"""

from __future__ import annotations

import os
import subprocess
import sys

from penstock.errors import ConfigError


def command(*words: str) -> list[str]:
    """The command line of this Python with these words. The folder it is started in is not in its sys.path.

    Raises ConfigError: nobody knows which Python this is.
    """
    if not sys.executable:
        raise ConfigError("sys.executable is empty, so that no process can be started: set it to this Python's path")
    return [sys.executable, "-P", *words]


def import_path() -> list[str]:
    """sys.path as it works here: text only, as import ignores all else, and what was relative when it was first looked
    into stays where it was then, also after a chdir."""
    return [
        entry if not entry or os.path.isabs(entry) else _place(entry) for entry in sys.path if isinstance(entry, str)
    ]


def _place(entry: str) -> str:
    place = getattr(sys.path_importer_cache.get(entry), "path", None)
    return place if isinstance(place, str) and os.path.isabs(place) else _absolute(entry)


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)
    except OSError:  # the working folder is gone
        return entry


def output(fd: int) -> int | None:
    """What a process that is started has as its file `fd`, 1 or 2: this one's (None), or nothing where that is closed,
    or is another file by now; those that Python opens are not inherited."""
    try:
        return None if os.get_inheritable(fd) else subprocess.DEVNULL
    except OSError:
        return subprocess.DEVNULL
