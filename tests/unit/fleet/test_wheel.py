"""A wheel of what is installed."""

from __future__ import annotations

import io
import zipfile

from penstock.fleet import wheel


def test_it_has_the_package_and_what_pip_wants_to_know() -> None:
    """All that is not compiled, the metadata, the licence, and a hash for each file but the list itself."""
    name, data = wheel.wheel()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = set(archive.namelist())
        stem = name.removesuffix("-py3-none-any.whl")
        record = archive.read(f"{stem}.dist-info/RECORD").decode().splitlines()
        about = archive.read(f"{stem}.dist-info/METADATA").decode()
        licence = archive.read(f"{stem}.dist-info/licenses/src/penstock/LICENSE").decode()
    assert {"penstock/fleet/wheel.py", "penstock/ventilator/queue.sql", "penstock/py.typed"} <= files
    assert not [one for one in files if one.endswith(".pyc")]
    assert {line.split(",")[0] for line in record} == files
    assert [line for line in record if line.endswith(",,")] == [f"{stem}.dist-info/RECORD,,"]
    assert "Requires-Dist: pyzmq" in about
    assert "License-Expression: MIT" in about
    assert licence.startswith("MIT License")
