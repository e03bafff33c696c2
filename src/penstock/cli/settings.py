"""Settings of this machine or user: flag, then PENSTOCK_<NAME>, then the settings file, then the default.

A setting is an option that names its environment variable; ``PENSTOCK_DATA`` is the key ``data`` in the file. Options
of jobs are none, and the current folder is never looked into: what runs must not depend on where one stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from penstock import user_folders
from penstock.cli.option_types import OptionDecorator
from penstock.errors import ConfigError

PREFIX = "PENSTOCK_"
VARIABLE = "PENSTOCK_CONFIG"
SYSTEM_FILE = Path("/etc/penstock/penstock.toml")


def apply(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Make what the settings file says the defaults of this command. ConfigError: the file is wrong."""
    path = path or next((one for one in _usual_places() if os.path.isfile(one)), None)
    if path is None:
        return
    settings = _read(path)
    known = set(names(context.find_root().command))
    for key, value in settings.items():
        if key not in known:
            raise ConfigError(f"{path}: unknown setting {key!r}; the settings are {', '.join(sorted(known))}")
        if not isinstance(value, str | int | float | bool):
            raise ConfigError(f"{path}: {key} must be text, a number, true or false")
    of_command = {name: param.name for param in context.command.params if (name := _name(param))}
    context.default_map = {str(of_command[key]): settings[key] for key in settings.keys() & of_command.keys()}


def names(command: click.Command) -> Iterator[str]:
    """All settings that a command, or a command of a group, knows."""
    if isinstance(command, click.Group):
        for one in command.commands.values():
            yield from names(one)
    yield from filter(None, map(_name, command.params))


def _name(param: click.Parameter) -> str:
    variable = param.envvar
    if isinstance(variable, str) and variable.startswith(PREFIX) and variable != VARIABLE:
        return variable.removeprefix(PREFIX).lower()
    return ""


def _usual_places() -> Iterator[Path]:
    with suppress(ConfigError):  # a user without a home has none of their own
        yield user_folders.config() / "penstock" / "penstock.toml"
    yield SYSTEM_FILE


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: lists in it are nested too deeply") from None


option: OptionDecorator = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=VARIABLE,
    is_eager=True,
    expose_value=False,
    callback=apply,
    help="Read settings from this file.  [env: PENSTOCK_CONFIG; "
    "default: ~/.config/penstock/penstock.toml, then /etc/penstock]",
)


def default_key_folder() -> Path:
    """Where keys are when nothing else is said."""
    try:
        return user_folders.config() / "penstock" / "keys"
    except ConfigError as error:
        raise ConfigError(f"{error}, or name the folder of the keys with --keys") from None
