"""Other users than the worker's own: which ones its jobs may be, and how a slot becomes one of them."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence

from penstock.errors import ConfigError
from penstock.job.spec import TAGS_MAX
from penstock.slot.process_tree import give_up_privileges

NAME_BYTES = 64
"""Of a user's name: twice what useradd(8) takes."""


def check_users(names: Sequence[str]) -> None:
    """ConfigError: this process cannot become one of them, or must not."""
    if len(names) > TAGS_MAX:
        raise ConfigError(f"--allow-user: {len(names)} users, at most {TAGS_MAX} can be named")
    if names and os.geteuid() != 0:
        raise ConfigError("--allow-user needs a worker that runs as root")
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise ConfigError(f"--allow-user {name}: there is no such user on this host") from None
        if entry.pw_uid == 0 or len(os.fsencode(name)) > NAME_BYTES:
            raise ConfigError(f"--allow-user {name}: jobs without user= run as root, no others do")


def refusal(user: str, allowed: Sequence[str], worker: str) -> str:
    """Why a job must not be this user, in one line; empty: it may."""
    if not user or user in allowed:
        return ""
    return f"worker {worker} does not allow user={user}: it has to be started as root with --allow-user {user}"


def become(user: str, files: Sequence[int]) -> None:
    """Be this user for good, with these files its own. Raises KeyError: it is gone; OSError."""
    entry = pwd.getpwnam(user)
    for file in files:
        os.fchown(file, entry.pw_uid, entry.pw_gid)  # /dev/stdout is opened anew, by its owner only
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    give_up_privileges()
    os.environ.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)
    if not os.access(".", os.X_OK):
        os.chdir("/")
