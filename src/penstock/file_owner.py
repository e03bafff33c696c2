"""Whose a file or a folder is."""

from __future__ import annotations

import os
from pathlib import Path


def stranger(path: Path, *, trusts_root: bool = False) -> str:
    """The other user to whom it belongs, or the link in its place, by name; empty: it is this process's own user's, or
    is not there. `trusts_root`: root's is as good."""
    own = {os.geteuid(), 0} if trusts_root else {os.geteuid()}
    try:
        owners = (path.lstat().st_uid, path.stat().st_uid)
    except OSError:
        return ""
    return next((user_name(owner) for owner in owners if owner not in own), "")


def user_name(number: int) -> str:
    """The user with this number, or the number where nobody has it."""
    import pwd  # noqa: PLC0415 - Windows has none, and nothing is kept there

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # as in many containers
        return f"{number}"
