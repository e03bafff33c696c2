"""What `import penstock` shows."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import penstock


def test_only_public_names_show() -> None:
    """Also when all of them have been used, and modules of the package imported."""
    program = (
        "import penstock, penstock.joblib, penstock.client.engine\n"
        "for name in dir(penstock): getattr(penstock, name)\n"
        "assert dir(penstock) == sorted([*penstock.__all__, '__version__']), dir(penstock)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_a_star_gives_the_public_names() -> None:
    """Each of them."""
    program = "from penstock import *; import penstock; assert set(penstock.__all__) <= set(globals())"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_nothing_is_imported_before_it_is_used() -> None:
    """Neither the client nor the sockets."""
    program = "import sys, penstock; assert not {'penstock.client', 'zmq', 'msgspec'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_version_is_that_of_the_package() -> None:
    """As installed."""
    assert penstock.__version__ == importlib.metadata.version("penstock")


def test_another_name_is_an_attribute_error() -> None:
    """As of every module."""
    with pytest.raises(AttributeError, match="no attribute 'Pipelines'"):
        penstock.Pipelines  # noqa: B018
