"""``penstock check``: whether the stores in a data folder are as they were written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from penstock.cli.options import as_json, data_folder, debug, stores_option
from penstock.cli.output import json_line, printable
from penstock.errors import ConfigError, SchemaMismatch, StoreError, StoreInUse, UnfitFolder
from penstock.exit_codes import FAILURE, SUCCESS

if TYPE_CHECKING:
    from penstock.station.store_check import StoreCheck


class Line(NamedTuple):
    """What is said of a store: `sound`, or something `damaged`, `contained` by a station before, `mended`; all of it
    `broken`, or `lost`."""

    store: str
    state: str
    said: str


@click.command("check", short_help="Look for damage in the stores of a data folder, and mend it.")
@stores_option("Check the stores in this folder.")
@click.option("--repair", is_flag=True, help="Mend what is found, and say what is lost.")
@as_json
@debug
def command(data: Path | None, repair: bool, as_json: bool) -> int:
    """Read all of both stores, queue.db and results.db, and list what is damaged on disk, a line for each.

    The stations of this folder must be stopped. It opens each store as its station does, so the indexes are made anew
    if they are damaged. With --repair damaged rows are taken out: jobs whose outcome is lost are run again when the
    stations are started, if their arguments are sound and they may be started twice; the others are dead, with a cause
    that says so. Everything else stays as it is. Of a file that cannot be opened, what is sound is put into a new one,
    and the old one is kept beside it under a name that ends in .damaged.

    The exit code is 0 if all is sound, or is mended, and 1 if something is damaged.
    """
    damaged = False
    for line in _lines(Path(data_folder(data)), repair=repair):
        damaged |= line.state in {"damaged", "contained", "lost"}
        if as_json:
            json_line(line._asdict())
        else:
            print(f"{line.state:9}  {line.store:10}  {printable(line.said)}", flush=True)
    return FAILURE if damaged else SUCCESS


def _lines(folder: Path, *, repair: bool) -> Iterator[Line]:
    from penstock.sink import store_check as sink_check
    from penstock.sink.store import ResultStore
    from penstock.sink.store_check import ResultCheck
    from penstock.ventilator import store_check
    from penstock.ventilator.store import QueueStore
    from penstock.ventilator.store_check import QueueCheck

    if not any((folder / name).exists() for name in ("queue.db", "results.db")):
        raise ConfigError(f"{folder}: there is no store in this folder; name another one with --data")
    kinds: dict[str, Callable[[Path], StoreCheck]] = {
        "queue.db": lambda folder: QueueCheck(QueueStore(folder, durable=False)),
        "results.db": lambda folder: ResultCheck(ResultStore(folder, durable=False)),
    }
    rebuild: dict[str, Callable[[Path], list[str]]] = {
        "queue.db": store_check.rebuild,
        "results.db": sink_check.rebuild,
    }
    for name in (name for name in kinds if (folder / name).exists()):
        try:
            check = kinds[name](folder)
        except (StoreInUse, SchemaMismatch, UnfitFolder):
            raise
        except StoreError as error:
            yield Line(name, "damaged" if not repair else "broken", str(error))
            if not repair:
                continue
            try:
                yield from (Line(name, "mended", said) for said in rebuild[name](folder))
            except StoreError as lost:
                yield Line(name, "lost", str(lost))
                continue
            check = kinds[name](folder)
        try:
            yield from _of_store(name, check, repair=repair)
        finally:
            check.store.close()


def _of_store(name: str, check: StoreCheck, *, repair: bool) -> Iterator[Line]:
    store = check.store
    before = [
        Line(name, "mended" if repair else "contained", f"{time.strftime('%F %T', time.localtime(at))}: {what}")
        for at, what in store.damages()
    ]
    yield from before
    if repair:
        mended = [Line(name, "mended", what) for what in check.mend()]
    else:
        mended = [Line(name, "damaged", fault.what) for fault in check.faults()]
    yield from mended
    if not before and not mended:
        yield Line(name, "sound", f"{store.path.stat().st_size:,} bytes")
