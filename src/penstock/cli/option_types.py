"""Types of options. Of most the value must be there: an empty one is a shell variable that is not set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import click

from penstock.cli.output import printable
from penstock.errors import ConfigError
from penstock.url import endpoints

Decorated = TypeVar("Decorated", bound="Callable[..., Any] | click.Command")

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


WORD = Word()
URL = PipelineUrl()


class OptionDecorator(Protocol):
    """An option that several commands share, as it is written above each of them."""

    def __call__(self, function: Decorated, /) -> Decorated:
        """The same command with the option."""
