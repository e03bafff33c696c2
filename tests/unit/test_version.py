"""The version."""

from __future__ import annotations

from importlib import metadata

from penstock.version import VERSION, advice, minor


def test_the_version_is_that_of_the_package() -> None:
    """It has one place, from which the build reads it: to ask the installation costs a station a tenth of its start."""
    assert metadata.version("penstock") == VERSION


def test_within_a_minor_version_versions_go_together() -> None:
    """Whatever the third number is."""
    assert [minor(version) for version in ("3.11.7", "3.11", "")] == ["3.11", "3.11", ""]


def test_the_older_side_is_to_be_upgraded() -> None:
    """By numbers, not by letters; what is no version is the oldest."""
    assert advice("0.3.9", "0.3.0", "a", "b") == ""
    assert advice("0.9.0", "0.10.0", "a", "b") == "upgrade a to penstock 0.10.0"
    assert advice("1.0.0", "0.10.0", "a", "b") == "upgrade b to penstock 1.0.0"
    assert advice("", "0.3.0", "a", "b") == "upgrade a to penstock 0.3.0"
