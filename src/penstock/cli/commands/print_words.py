"""Words of users in files that other programs read, each as its format has it, so that it is read as what it was.

What has no printable form is refused for all of them: a line end in a word would be a line of the file.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.errors import ConfigError
from penstock.job.display import shortened


def check_words(*words: str) -> None:
    """ConfigError: one of them has a character that cannot be written into a file for others."""
    for word in words:
        if not word.isprintable():
            raise ConfigError(f"{shortened(word)}: this has a character that cannot be written into such a file")


def in_unit(text: str) -> str:
    """Text in a systemd unit: a percent sign begins a specifier there (systemd.unit(5))."""
    return text.replace("%", "%%")


def unit_word(word: str) -> str:
    """One of several words in a systemd unit (systemd.syntax(7), "Quoting")."""
    word = word.replace("\\", "\\\\").replace('"', '\\"')
    return in_unit(f'"{word}"' if not word or set(word) & set(" \\\"';#") else word)


def unit_command(words: Iterable[str]) -> str:
    """A command line in a systemd unit, where a dollar begins a variable, too (systemd.service(5), "Command lines")."""
    return " ".join(unit_word(word.replace("$", "$$")) for word in words)


def yaml_text(text: str) -> str:
    """Text in a YAML document: in double quotes, in which all else than itself is an escape."""
    return f'"{"".join(map(_yaml_sign, text))}"'


def _yaml_sign(sign: str) -> str:
    if sign in {'"', "\\"}:
        return f"\\{sign}"
    if sign == "\n":
        return "\\n"
    return sign if sign.isprintable() else f"\\U{ord(sign):08x}"


def kubernetes_command(words: Iterable[str]) -> str:
    """A command in a Kubernetes manifest, where ``$(NAME)`` would be a variable."""
    return f"[{', '.join(yaml_text(word.replace('$', '$$')) for word in words)}]"
