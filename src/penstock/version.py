"""The version of penstock, and how far versions go together."""

from __future__ import annotations

VERSION = "0.3.0"
"""Of penstock: the only place that has it (pyproject.toml reads it here)."""


def minor(version: str) -> str:
    """``3.11`` of ``3.11.7``: within it versions go together."""
    return ".".join(version.split(".")[:2])


def advice(version: str, here: str, other: str, this: str) -> str:
    """Which of two sides is to be upgraded, and to what: `other`, which has `version`, or `this`, which has `here`.
    Empty: the two go together."""
    if minor(version) == minor(here):
        return ""
    if is_older(version, here):
        return f"upgrade {other} to penstock {here}"
    return f"upgrade {this} to penstock {version}"


def is_older(version: str, other: str) -> bool:
    """Whether a version came before another one, beyond what goes together. What is no version came before all."""
    return _numbers(version) < _numbers(other)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in minor(version).split(".") if number.isdecimal()]
