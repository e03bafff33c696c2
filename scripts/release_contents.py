"""Whether a wheel and an sdist in a folder have every file that is committed, and no other.

scripts/release_contents.py dist
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

TOP = Path(__file__).parents[1]
PACKAGE = "src/penstock/"
LICENCE, MAN_PAGE = f"{PACKAGE}LICENSE", f"{PACKAGE}penstock.1"
NEEDED = (LICENCE, MAN_PAGE, f"{PACKAGE}py.typed", f"{PACKAGE}guide/changelog.md", f"{PACKAGE}ventilator/queue.sql")
"""One of each kind that a build could leave out: what is not committed would be missed by nobody else."""


def committed() -> set[str]:
    """The paths of all files, from the top of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    return set(listed.split("\0")) - {""}


def faults(sdist: Path, wheel: Path) -> Iterator[str]:
    """What is wrong with them, a line each."""
    files = committed()
    yield from (f"not committed: {name}" for name in NEEDED if name not in files)
    with tarfile.open(sdist) as archive:
        stem = sdist.name.removesuffix(".tar.gz")
        found = {member.name.removeprefix(f"{stem}/") for member in archive.getmembers() if member.isfile()}
    yield from _differences(sdist, files | {"PKG-INFO"}, found)
    with zipfile.ZipFile(wheel) as archive:
        stem = "-".join(wheel.name.split("-")[:2])
        about = f"{stem}.dist-info/"
        wanted = {name.removeprefix("src/") for name in files if name.startswith(PACKAGE) and name != MAN_PAGE}
        wanted |= {f"{about}{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
        wanted |= {f"{about}licenses/{LICENCE}", f"{stem}.data/data/share/man/man1/penstock.1"}
        yield from _differences(wheel, wanted, set(archive.namelist()))
        metadata = BytesParser().parsebytes(archive.read(f"{about}METADATA"))
    yield from _metadata_faults(metadata)


def _differences(archive: Path, wanted: set[str], found: set[str]) -> Iterator[str]:
    yield from (f"{archive.name} lacks {name}" for name in sorted(wanted - found))
    yield from (f"{archive.name} has {name}, which is not committed" for name in sorted(found - wanted))


def _metadata_faults(metadata: Message) -> Iterator[str]:
    wanted = {"License-Expression": "MIT", "License-File": LICENCE, "Description-Content-Type": "text/markdown"}
    for field, value in wanted.items():
        if metadata[field] != value:
            yield f"the metadata's {field} is {metadata[field]}, not {value}"


def main() -> int:
    """Print what is wrong; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where one sdist and one wheel are")
    folder = parser.parse_args().folder
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    found = list(faults(sdist, wheel))
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
