"""What of the user's shell jobs get: which shell runs the lines, variables, and functions that a bash has exported."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence

from penstock.errors import ConfigError
from penstock.job.display import CALLED

SH = "/bin/sh"
POSIX = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"})
"""Shells that read what is written for sh."""
EXPORTED = re.compile(r"BASH_FUNC_(?P<name>.+?)(?:%%|\(\))")
"""How bash calls an exported function in the environment (``()``: for a while in 2014)."""


def functions(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The exported functions: the variable that each is in."""
    return {match["name"]: name for name in environment if (match := EXPORTED.fullmatch(name))}


def shell(*, of_bash: bool) -> bytes:
    """What runs lines, as it is found on a worker: the user's shell if it reads what sh reads, as in GNU parallel.
    `of_bash`: they may use functions of bash."""
    if of_bash and shutil.which("bash"):
        return b"bash"
    path = os.environ.get("SHELL", SH)
    name = os.path.basename(path)
    if name not in POSIX or name == "sh":
        return SH.encode()
    return os.fsencode(name if shutil.which(name) else path)


def is_function(word: str, named: Iterable[str] = ()) -> bool:
    """Whether a command's first word is an exported function: no program is called like that, or the user has named
    it (`--env`)."""
    return word in functions() and (word in named or shutil.which(word) is None)


def called(name: str) -> tuple[str, ...]:
    """The words before the arguments of a function: each reaches it as it is."""
    return ("bash", "-c", name + CALLED.decode(), name)


def with_bash(command: Sequence[str], named: Iterable[str], *, is_line: bool) -> Sequence[str]:
    """The words of a command, with bash before them if the first is a function. A line for a shell is left alone."""
    if is_line or not command or not is_function(command[0], named):
        return command
    return (*called(command[0]), *command[1:])


def environment(command: Sequence[str], env: Sequence[str], *, is_line: bool) -> dict[bytes, bytes]:
    """What is added to that of the jobs: what `env` names, and the functions that the command has in it; all of them
    where commands are input."""
    known = functions()
    words = re.findall(r"[^\s;|&()<>\"'`$]+", " ".join(command)) if is_line else command[:1]
    used = sorted(known.keys() & set(words) if command else known)
    given = {os.fsencode(known[name]): os.fsencode(os.environ[known[name]]) for name in used}
    return given | dict(pair for text in env for pair in variables(text))


def variables(text: str) -> list[tuple[bytes, bytes]]:
    """``NAME=VALUE``, or ``NAME`` with the value it has here, as a variable or a function of bash. ConfigError: it has
    none."""
    name, given, value = text.partition("=")
    if not name:
        raise ConfigError(f"--env {text}: this cannot be the name of a variable; write NAME or NAME=VALUE")
    if given:
        return [(os.fsencode(name), os.fsencode(value))]
    if name == "_":
        raise ConfigError("--env _: name each variable and function that the jobs need")
    found = [one for one in (name, functions().get(name, "")) if one in os.environ]
    if not found:
        raise ConfigError(f"--env {name}: it is not set here; write {name}=VALUE (for a function: export -f {name})")
    return [(os.fsencode(one), os.fsencode(os.environ[one])) for one in found]
