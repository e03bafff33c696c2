"""The help of `run` and `submit` in sections."""

from __future__ import annotations

from itertools import chain

import click
import pytest

from penstock.cli.run.help_sections import SECTIONS
from penstock.cli.run.run import command as run
from penstock.cli.run.submit import command as submit

COMMANDS = [run, submit]


def shown(command: click.Command) -> set[str]:
    """The options that its help shows, by the names of their parameters."""
    options = (param for param in command.params if isinstance(param, click.Option) and not param.hidden)
    return {str(option.name) for option in options}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_a_section(command: click.Command) -> None:
    """One that is forgotten would stand at the end of the help, where nobody looks for it."""
    assert shown(command) - set(chain(*SECTIONS.values())) == set()


def test_a_section_has_no_option_that_is_gone() -> None:
    """And none has two sections."""
    names = list(chain(*SECTIONS.values()))
    assert len(names) == len(set(names))
    assert set(names) - set().union(*map(shown, COMMANDS)) == set()
