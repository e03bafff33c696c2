"""Files that are their owner's alone, whatever the umask is and however open the folder that they are in."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from penstock.file_owner import stranger, user_name

FILE_MODE = 0o600


def open_private(path: Path, flags: int) -> int:
    """Open a file as `os.open` does, made where it is missing; nobody else can open it from then on. A symbolic link
    is not followed. Raises OSError."""
    fd = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) != FILE_MODE:  # by the umask, or it was there
            os.fchmod(fd, FILE_MODE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_private(path: Path, text: str) -> None:
    """Make a file of this text, in place of one that is there. Raises OSError."""
    with open(open_private(path, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as file:
        file.write(text)


def not_ours(path: Path) -> str:
    """Why this process should not touch a file, or folder, of another user, in one line; empty: it is its own user's,
    or is not there. Root could: but what it makes there the owner could not open."""
    if not (theirs := stranger(path)):
        return ""
    ours = user_name(os.geteuid())
    folder = path if path.is_dir() else path.parent
    return (
        f"{path} is another user's: it belongs to {theirs}, and this process to {ours}; run it as {theirs}, or give all"
        f" of it to {ours} (chown -R {ours} {shlex.quote(str(folder))})"
    )
