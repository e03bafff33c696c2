"""The version of penstock, and how far versions go together."""

from __future__ import annotations

VERSION = "0.3.0"
"""Of penstock: the only place that has it (pyproject.toml reads it here)."""


def minor(version: str) -> str:
    """``3.11`` of ``3.11.7``: within it versions go together."""
    return ".".join(version.split(".")[:2])
