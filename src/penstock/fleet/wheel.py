"""A wheel of penstock as it is installed here, made without its sources, a build tool or a network."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path

from penstock.errors import ConfigError

PACKAGE = Path(__file__).parents[1]
ABOUT = "Wheel-Version: 1.0\nGenerator: penstock\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel() -> tuple[str, bytes]:
    """Its file name and its bytes. ConfigError: penstock runs here without being installed."""
    try:
        installed = metadata.distribution("penstock")
    except metadata.PackageNotFoundError:
        raise ConfigError("penstock is not installed here (pip install), so no wheel of it can go along") from None
    stem = f"penstock-{installed.version}"
    files = {
        f"penstock/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes()
        for path in sorted(PACKAGE.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    licences = [f"licenses/{name}" for name in installed.metadata.get_all("License-File", [])]
    for name in ("METADATA", "entry_points.txt", *licences):
        files[f"{stem}.dist-info/{name}"] = (installed.read_text(name) or "").encode()
    return f"{stem}-py3-none-any.whl", pack(files | {f"{stem}.dist-info/WHEEL": ABOUT.encode()}, stem)


def pack(files: dict[str, bytes], stem: str) -> bytes:
    """The archive of these files, with the list of their hashes that pip wants."""
    lines = [f"{name},sha256={_hash(data)},{len(data)}" for name, data in files.items()]
    record = f"{stem}.dist-info/RECORD"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(record, "\n".join([*lines, f"{record},,", ""]))
    return packed.getvalue()


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
