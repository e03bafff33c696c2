"""The version."""

from __future__ import annotations

from importlib import metadata

from penstock.version import VERSION, minor


def test_the_version_is_that_of_the_package() -> None:
    """It has one place, from which the build reads it: to ask the installation costs a station a tenth of its start."""
    assert metadata.version("penstock") == VERSION


def test_within_a_minor_version_versions_go_together() -> None:
    """Whatever the third number is."""
    assert [minor(version) for version in ("3.11.7", "3.11", "")] == ["3.11", "3.11", ""]
