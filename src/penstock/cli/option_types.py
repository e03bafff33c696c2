"""Types of options. Of most the value must be there: an empty one is a shell variable that is not set. Sizes and
durations are as users of GNU parallel write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import click

from penstock.cli.output import printable
from penstock.errors import ConfigError
from penstock.url import endpoints

Decorated = TypeVar("Decorated", bound="Callable[..., Any] | click.Command")

SIZE_FORM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([kmgtpKMGTP])(i?))?")
POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
BARE_FRACTION = re.compile(r"(?<!\d)\.(?=\d)")
EMPTY = "it is empty: is a variable of your shell not set?"


class Word(click.ParamType[str]):
    """Text that is not empty."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raises BadParameter: it is empty."""
        if not value:
            self.fail(EMPTY, param, ctx)
        return str(value)


class PipelineUrl(Word):
    """The URL of a running pipeline."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raises BadParameter: it is none."""
        url = super().convert(value, param, ctx)
        try:
            endpoints(url)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return url


class Place(click.Path):
    """A path that is not empty, and is text that can be written down: stores and settings name it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises BadParameter: it is not."""
        if not str(value):
            self.fail(EMPTY, param, ctx)
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail(
                f"{printable(str(value))} is not UTF-8, which names that are written to a store have to be", param, ctx
            )
        return super().convert(value, param, ctx)


class Count(click.IntRange):
    """A whole number in a range, which help calls N."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - as click calls it
        """As help calls the value."""
        return "N"


class SizeType(click.ParamType[int]):
    """Bytes: a large letter, or one with an i, counts in 1024s, a small one in 1000s."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises BadParameter: it has another form, or it is nothing."""
        if isinstance(value, int):
            return value
        match = SIZE_FORM.fullmatch(str(value))
        size = 0
        if match is not None:
            letter = match[2] or ""
            base = 1000 if letter.islower() and not match[3] else 1024
            size = int(float(match[1]) * base ** POWERS.get(letter.lower(), 0))
        if not size:
            self.fail(f"{value!r} is not a size: write bytes, or 10k (10,000), 10K (10,240), 1M, 2G", param, ctx)
        return size


class DurationType(click.ParamType[float]):
    """A duration in seconds, of text in which seconds need no unit."""

    name = "time"

    def __init__(self, *, may_be_zero: bool = True) -> None:
        self._may_be_zero = may_be_zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises BadParameter: it has another form."""
        from penstock.client.command_line import seconds

        if not value and isinstance(value, str):
            self.fail(EMPTY, param, ctx)
        text = with_unit(BARE_FRACTION.sub("0.", str(value).lower()))
        try:
            found = seconds(value if isinstance(value, int | float) else text)  # a settings file may have a number
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a duration: write seconds, like 0.5, or 90s, 5m, 2h, 1h30m", param, ctx)
        if not found and not self._may_be_zero:
            self.fail("it is 0, and no job can run in no time: write seconds, like 0.5, or 90s, 5m", param, ctx)
        return found


WORD = Word()
URL = PipelineUrl()
SIZE = SizeType()
DURATION = DurationType()
POSITIVE_DURATION = DurationType(may_be_zero=False)


def with_unit(text: str) -> str:
    """A duration as people type it: seconds need no unit."""
    return f"{text}s" if text.replace(".", "", 1).isdigit() else text


class OptionDecorator(Protocol):
    """An option that several commands share, as it is written above each of them."""

    def __call__(self, function: Decorated, /) -> Decorated:
        """The same command with the option."""


def together(*options: OptionDecorator) -> OptionDecorator:
    """These options as one, in the order in which help lists them."""

    def decorated(function: Decorated, /) -> Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return decorated
