"""``penstock compact``: the room that deleted batches have left in the stores is given back to the disk."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli.options import data_folder, debug, stores_option
from penstock.cli.output import say
from penstock.errors import ConfigError


@click.command("compact", short_help="Give the room of deleted batches back to the disk.")
@stores_option("Compact the stores in this folder.")
@debug
def command(data: Path | None) -> None:
    """Write both stores, queue.db and results.db, anew without the room that deleted batches have left in them.

    The stations of this folder must be stopped. A store never gets smaller by itself: what is free in it is used for
    new batches first, and `penstock doctor` says when it is much. The disk must have room for the new file beside the
    old one, which is kept until the new one is whole.
    """
    from penstock.sink.store import ResultStore
    from penstock.station.store_compaction import compact
    from penstock.ventilator.store import QueueStore

    folder = Path(data_folder(data))
    kinds: dict[str, type[QueueStore | ResultStore]] = {"queue.db": QueueStore, "results.db": ResultStore}
    found = [name for name in kinds if (folder / name).exists()]
    if not found:
        raise ConfigError(f"{folder}: there is no store in this folder; name another one with --data")
    for name in found:
        store = kinds[name](folder, durable=False)
        try:
            while store.untidy:
                store.save([])
            before, after = compact(store)
        finally:
            store.close()
        say(f"{folder / name}: {before:,} bytes before, {after:,} now")
