"""``penstock keys``: who may do what with a pipeline that others can reach."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from penstock.cli.option_types import OptionDecorator, together
from penstock.cli.options import as_json, debug, key_path
from penstock.cli.output import columns, counted, json_line, local_time, say
from penstock.cli.settings import default_key_folder
from penstock.keys.files import LIST
from penstock.keys.roles import GIVEN, Role

if TYPE_CHECKING:
    from penstock.keys.files import KeyFolder


in_folder: OptionDecorator = together(
    click.option(
        "--keys",
        "folder",
        envvar="PENSTOCK_KEYS",
        type=click.Path(path_type=Path, file_okay=False),
        help="Use this key folder.  [env: PENSTOCK_KEYS; default: penstock/keys in the user's configuration folder]",
    ),
    debug,
)
"""``--keys`` of each of these commands."""


@click.group("keys", short_help="Make, list and revoke keys.")
@debug
def command() -> None:
    """Make, list and revoke keys.

    With keys a pipeline may listen beyond this machine: everything is encrypted, and the role of a key says what its
    holder may do: work, submit, observe, admin.
    """


@command.command("init")
@click.argument("url", metavar="URL")
@in_folder
def init(folder: Path | None, url: str) -> None:
    """Make a key folder: the keys of ventilator and sink, one for an admin (you) and one for workers.

    URL is where the pipeline is, as others reach it: tcp://HOST:PORT.
    """
    keys = _keys(folder)
    keys.init(url)
    say(f"keys for {url} are in {keys.path}; to run a pipeline with them, and to be its admin:")
    print(f"export PENSTOCK_KEY={shlex.quote(str(keys.path))}")


@command.command("new")
@click.argument("role", type=click.Choice([str(role) for role in GIVEN]))
@click.argument("name")
@in_folder
def new(folder: Path | None, role: str, name: str) -> None:
    """Make a key for ROLE (work, submit, observe, admin) and print its file, which is all that its holder needs.

    A second key of the same NAME is let in beside the first, until `penstock keys revoke NAME --old`.
    """
    print(_keys(folder).new(Role(role), name))


@command.command("list")
@as_json
@in_folder
def list_(folder: Path | None, as_json: bool) -> None:
    """List the keys that were given out."""
    entries = _keys(folder).entries()
    if as_json:
        for entry in entries:
            json_line(msgspec.structs.asdict(entry))
        return
    columns(
        ("NAME", "ROLE", "KEY", "MADE", "REVOKED"),
        (
            (one.name, one.role, one.public[:8], local_time(one.created_time), local_time(one.revoked_time or 0))
            for one in entries
        ),
    )


@command.command("revoke")
@click.argument("name")
@click.option("--old", is_flag=True, help="Revoke only its older keys, not the newest.")
@in_folder
def revoke(folder: Path | None, name: str, old: bool) -> None:
    """Revoke the keys of NAME: none is let in again, and who uses one now is cut off within a second."""
    keys = _keys(folder)
    count = keys.revoke(name, old=old)
    say(f"{counted(count, 'key')} of {name} revoked")
    if keys.has_sink_elsewhere:
        say(f"the running ventilator tells the sink; copy {LIST} to the sink's host, too, before it restarts")


def work_key_file() -> Path:
    """The key for workers that ``--key`` leads to: the file itself, or ``workers.key`` of a key folder, made if it is
    not there. ConfigError: it is a key for something else."""
    from penstock.keys.files import load

    path = Path(key_path())
    if path.is_dir():
        folder, path = path, path / "workers.key"
        if not path.exists():
            _keys(folder).new(Role.WORK, "workers")
    load(path, Role.WORK)
    return path


def _keys(folder: Path | None) -> KeyFolder:
    from penstock.keys.files import KeyFolder
    from penstock.wire.guard import new_pair

    return KeyFolder((folder or default_key_folder()).absolute(), new_pair)
