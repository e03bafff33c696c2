"""``penstock completion``: what the shell types for its user. Click's own completion, and values beside it.

Promise: completing never takes long, and says nothing but what can be typed: no pipeline, a wrong key or a fault in
here are an empty answer.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

import click
from click.shell_completion import BashComplete, CompletionItem, ShellComplete, get_completion_class, split_arg_string

from penstock.cli.completion_values import offer_values
from penstock.cli.options import debug

VARIABLE = "_PENSTOCK_COMPLETE"
"""In the environment of a penstock that is asked by a shell; click's name for it."""
JOINTS = (":", "=")
"""What bash takes for the end of a word: it gives `tcp://a:1` as tcp, :, //a, :, 1."""


class Bash(BashComplete):
    """Words with a colon or an equals sign are whole, as the user typed them."""

    cut: int = 0
    """Characters of the incomplete word that bash counts as words before it."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The whole words, and the one that is not."""
        words, place = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        pieces = [*words[:place], words[place] if place < len(words) else ""]
        joined = _joined(pieces)
        self.cut = max((joined[-1].rfind(joint) + 1 for joint in JOINTS), default=0)
        return joined[1:-1], joined[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Less what bash has already."""
        return f"{item.type},{item.value[self.cut :] if item.type == 'plain' else item.value}"


def _joined(pieces: list[str]) -> list[str]:
    """Without the cuts that bash made. `:::` and the like are words of their own."""
    words: list[str] = []
    glued = False
    for piece in pieces:
        joint = piece in JOINTS
        if words and (joint or glued):
            words[-1] += piece
        else:
            words.append(piece)
        glued = joint
    return words


def completer(shell: str, group: click.Group) -> ShellComplete:
    """What speaks with this shell."""
    kind = Bash if shell == "bash" else get_completion_class(shell)
    assert kind is not None, shell
    return kind(group, {}, "penstock", VARIABLE)


def answer(group: click.Group) -> NoReturn:
    """Tell the shell that asks what can be typed, and leave at once: whatever was asked meanwhile is waited for no
    more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with suppress(BaseException):
        offer_values(group)
        shell, _, _ = os.environ[VARIABLE].partition("_")
        sys.stdout.write(completer(shell, group).complete() + "\n")
        sys.stdout.flush()
    os._exit(0)


@click.command("completion", short_help="Print the lines that let a shell complete command lines.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the lines that let SHELL (bash, zsh or fish) complete commands, options, files, batches, workers and keys.

    Put eval "$(penstock completion bash)" into ~/.bashrc, eval "$(penstock completion zsh)" into ~/.zshrc behind its
    compinit, or penstock completion fish | source into ~/.config/fish/config.fish.
    """
    group = context.find_root().command
    assert isinstance(group, click.Group)
    print(completer(shell, group).source())
