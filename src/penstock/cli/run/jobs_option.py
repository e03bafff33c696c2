"""``-j``: how many jobs at once, in the forms of GNU parallel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import click

from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.cli.run.work import Work

FORM = re.compile(r"(?P<sign>[+-]?)(?P<number>\d+)(?P<percent>%?)")
MOST_SLOTS = 200
"""Of a pipeline of its own with ``-j 0``: some seconds until they are there, a megabyte each."""


class AtOnce(NamedTuple):
    """What ``-j`` says, to be reckoned with the slots there are."""

    text: str

    def of(self, slots: int) -> int | None:
        """So many; None: as many as possible. ConfigError: no job could run."""
        match = FORM.fullmatch(self.text)
        if match is None or (match["sign"] and match["percent"]):
            raise ConfigError(f"-j {self.text}: write a number, 0 for no limit, 50% of the slots, or +1 or -1 slot")
        number = int(match["number"])
        if not match["sign"] and not match["percent"]:
            return number or None
        if not slots:
            raise ConfigError(f"-j {self.text} is a share of the slots, but no worker is connected")
        if match["percent"] and not number:
            raise ConfigError(f"-j {self.text}: no job could run")
        if match["percent"]:
            return max(1, slots * number // 100)
        return max(1, slots + number if match["sign"] == "+" else slots - number)

    def slots(self, work: Work) -> int:
        """Of a pipeline of its own. ConfigError as in `of`."""
        from penstock.station.capacity import default_slots

        found = self.of(default_slots())
        return min(MOST_SLOTS, work.count_up_to(MOST_SLOTS)) if found is None else found


class AtOnceType(click.ParamType[AtOnce]):
    """The type of the option."""

    name = "jobs"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> AtOnce:
        """Raises BadParameter: it has another form."""
        found = value if isinstance(value, AtOnce) else AtOnce(str(value))
        try:
            found.of(1)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return found
