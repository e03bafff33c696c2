"""The manual is true: the README and the pages of the guide. Their blocks run and print what they say they print.

A fenced block says what it is by its first word, and this is all there is:

- ``python`` is a program; with `import pytest` in it, a file for pytest.
- ``console`` is a session in a new folder: lines that begin with ``$ `` are typed (``> ``: a line that goes on), the
  others are what is printed on stdout; ``...`` stands for anything in a line, and alone for any lines.
  ``console continued`` goes on in the folder and the shell of the block before it.
- ``python elsewhere``, ``console elsewhere`` and ``sh elsewhere`` need what a test has not (several hosts, Slurm,
  Kubernetes, a person). They are not run, but what they name is there.
- ``toml`` is a settings file, ``text`` is neither code nor output.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import penstock
from penstock import cli, guide
from penstock.cli.run.help_sections import JobsCommand
from penstock.cli.settings import names as settings
from penstock.job.filters import FIELDS
from support.stations import LIMIT

TOP = Path(__file__).parents[1]
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
KINDS = {
    *("python", "console", "console continued", "toml", "text"),
    *("python elsewhere", "console elsewhere", "sh elsewhere"),
}
MARK = "-- next block --"
CODE_CHARS = 76
AT_ITS_END = '[ -z "$(jobs -p)" ] || { kill $(jobs -p); wait; }'
"""What a session does last, also where one of its commands fails."""
OUR_PATHS = re.compile(r"`((?:src|tests|scripts|\.ci|\.github)/[\w./-]+)`")
CODE = re.compile(r"`((?:[^`\n]|\n(?!\n))+)`")


class Block(NamedTuple):
    """A fenced block of a page of the manual."""

    page: str
    kind: str
    text: str


PAGES = {"README": (TOP / "README.md").read_text()} | {page.topic: page.text for page in guide.pages()}
BLOCKS = [Block(page, *found.groups()) for page, text in PAGES.items() for found in FENCE.finditer(text)]


def named(block: Block | list[Block]) -> str:
    first = block[0] if isinstance(block, list) else block
    return f"{first.page}-{BLOCKS.index(first)}"


def of_kind(*kinds: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind in kinds]


def sessions() -> list[list[Block]]:
    """The console blocks of each shell."""
    found: list[list[Block]] = []
    for block in of_kind("console", "console continued"):
        if block.kind == "console":
            found.append([])
        found[-1].append(block)
    return found


def typed(block: Block) -> str:
    return "\n".join(line[2:] for line in block.text.splitlines() if line.startswith(("$ ", "> ")))


def printed(block: Block) -> Iterator[str]:
    """What the block prints, as a regular expression for each line."""
    for line in block.text.splitlines():
        if not line.startswith(("$ ", "> ")):
            yield r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n"


def in_shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with penstock on its PATH; whatever it left in the background is ended with it."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["bash", "-e", "-c", f"trap {shlex.quote(AT_ITS_END)} EXIT\n{script}"],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=2 * LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(script, process.returncode, out, err)


@pytest.mark.parametrize("block", of_kind("python"), ids=named)
def test_python_block_runs(block: Block, folder: Path) -> None:
    """A Python block is a program that runs as printed."""
    (folder / "block.py").write_text(block.text)
    program = "-m pytest -q -p no:cacheprovider" if re.search(r"^import .*pytest", block.text, re.MULTILINE) else ""
    done = in_shell(f"python -W error {program} block.py", folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("blocks", sessions(), ids=named)
def test_console_block_prints_what_it_shows(blocks: list[Block], folder: Path) -> None:
    """The commands of a console block print the lines below them."""
    done = in_shell(f"\necho {shlex.quote(MARK)}\n".join(map(typed, blocks)), folder)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = re.escape(f"{MARK}\n").join("".join(printed(block)) for block in blocks)
    assert re.fullmatch(expected, done.stdout), done.stdout + done.stderr


def test_no_block_of_the_guide_is_wider_than_a_terminal() -> None:
    """80 columns, less what a page has around a block: a line of code that is broken cannot be read, nor copied."""
    wide = [line for block in BLOCKS for line in block.text.splitlines() if len(line) > CODE_CHARS]
    assert [line for line in wide if line not in PAGES["README"]] == []


def test_every_block_says_what_it_is() -> None:
    """No block escapes these tests by a language that they do not know; a session begins before it goes on."""
    assert [block for block in BLOCKS if block.kind not in KINDS] == []
    for page, text in PAGES.items():
        assert text.count("\n```") == 2 * sum(block.page == page for block in BLOCKS), page
        kinds = [block.kind for block in BLOCKS if block.page == page and block.kind.startswith("console")]
        assert not kinds or kinds[0] != "console continued", page


@pytest.mark.parametrize("block", of_kind("python elsewhere"), ids=named)
def test_python_that_runs_elsewhere_names_what_is_there(block: Block) -> None:
    """It is Python, and what it imports from penstock can be imported."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("penstock"):
            assert [one.name for one in node.names if not hasattr(penstock, one.name)] == []
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "penstock":
            assert node.attr == "joblib" or hasattr(penstock, node.attr), node.attr


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """All lines of the manual that begin with penstock, those in the text and those that are not run here included."""
    for block in of_kind("console", "console continued", "console elsewhere", "sh elsewhere"):
        text = (typed(block) if block.kind.startswith("console") else block.text).replace("\\\n", " ")
        for line in re.findall(r"(?:^|[;|&(]\s*|\bssh \S+ )(penstock [^|;&)\n]*)", text, re.MULTILINE):
            yield block.page, line.replace('"', " ").replace("'", " ").split()
    for page, text in PAGES.items():
        for code in CODE.findall(FENCE.sub("", text)):
            if code.startswith("penstock "):
                yield page, code.replace('"', " ").replace("'", " ").split()


def found(words: list[str]) -> tuple[click.Context, list[str]]:
    """The command that a line of the manual names, and what follows."""
    context, rest = click.Context(cli.group, info_name="penstock"), words[1:]
    while isinstance(context.command, click.Group) and rest and not rest[0].startswith("-") and not rest[0].isupper():
        command = context.command.get_command(context, rest[0])
        assert command is not None, f"no command {' '.join(words)}"
        context, rest = click.Context(command, info_name=rest[0], parent=context), rest[1:]
    return context, rest


def options(context: click.Context) -> set[str]:
    """All that a command takes for an option, other spellings included."""
    parser = context.command.make_parser(context)
    return {*parser._long_opt, *parser._short_opt, "--help", "--version"}


def test_every_command_and_option_is_there() -> None:
    """`penstock X --option` anywhere in the manual: X is a command, and knows the option."""
    checked = 0
    for page, words in command_lines():
        context, rest = found(words)
        for place, word in enumerate(rest):
            runs_other = isinstance(context.command, JobsCommand)
            if runs_other and not word.startswith("-") and (place == 0 or not rest[place - 1].startswith("-")):
                break  # the program that is run: behind it no option is ours
            if word.startswith("--"):
                assert word.partition("=")[0].rstrip(",") in options(context), f"{page}: {' '.join(words)}"
                checked += 1
    assert checked > 50


def every_option(command: click.Command) -> set[str]:
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return options(click.Context(command)).union(*map(every_option, inner))


def test_every_option_that_is_told_of_is_there() -> None:
    """`--option` in the text of the manual, without a command: some command knows it."""
    known = every_option(cli.group)
    for page, text in PAGES.items():
        spans = [code for code in CODE.findall(FENCE.sub("", text)) if code.startswith("-")]
        told = {word.partition("=")[0] for code in spans for word in code.split() if re.match(r"--[a-z]", word)}
        assert told <= known, page


@pytest.mark.parametrize("block", of_kind("toml"), ids=named)
def test_settings_file_is_one(block: Block) -> None:
    """What stands in an example of a settings file is a setting."""
    assert tomllib.loads(block.text).keys() <= set(settings(cli.group))


def test_every_command_is_in_the_guide() -> None:
    """What the command line can do is written down, each command in the page about commands."""
    for name in cli.group.commands:
        assert re.search(rf"`penstock {name}\b", PAGES["commands"]), name


def test_every_field_of_filters_is_in_the_guide_and_the_help() -> None:
    """What can be asked for is written down, with the operators that it has."""
    rows = dict(re.findall(r"^\| (`[a-z`, ]+`) \| (`[^|]+`) \|", PAGES["commands"], re.MULTILINE))
    listed = {name: operators for names, operators in rows.items() for name in re.findall("[a-z]+", names)}
    assert listed == {name: " ".join(f"`{one}`" for one in field.kind.operators) for name, field in FIELDS.items()}
    jobs = cli.group.get_command(click.Context(cli.group), "jobs")
    assert jobs is not None
    named = re.search(r"The fields are ([a-z,\s]+)\.", jobs.help or "")
    assert named is not None
    assert named[1].split() == ", ".join(FIELDS).split()


def test_every_path_is_there() -> None:
    """Files of the repository that the manual names exist; its scripts can be run."""
    for page, text in PAGES.items():
        for path in OUR_PATHS.findall(text):
            assert (TOP / path).exists(), f"{page}: {path}"
        for path in set(re.findall(r"scripts/[a-z-]+\b(?![/.])", text)):
            assert os.access(TOP / path, os.X_OK), f"{page}: {path}"


def test_every_page_that_is_named_is_there() -> None:
    """`penstock guide TOPIC` in the manual: that page exists."""
    for page, text in PAGES.items():
        for topic in re.findall(r"penstock guide ([a-z-]+)", text):
            assert topic in guide.TOPICS, f"{page}: {topic}"


def test_examples_of_the_guide_are_there() -> None:
    """Each program in penstock.examples is told of."""
    told = set(re.findall(r"penstock\.examples\.([a-z]+)", PAGES["first-steps"]))
    assert told == {path.stem for path in (TOP / "src/penstock/examples").glob("[a-z]*.py")}


def test_every_name_of_the_architecture_is_there() -> None:
    """Where the page about the architecture says `file.py`, `name`, that file has that name: the map is the land."""
    page, package = PAGES["architecture"], TOP / "src" / "penstock"
    for path in re.findall(r"`([\w/]+\.py)`", page):
        assert (TOP / path if path.startswith("tests/") else package / path).exists(), path
    found = re.findall(r"`([\w/]+\.py)`:\s+`([\w.]+)`", page)
    assert len(found) > 25
    for path, name in found:
        for part in name.split("."):
            assert re.search(rf"\b{part}\b", (package / path).read_text()), f"{path} has no {name}"
    known = set(re.findall(r"\w+", "".join(source.read_text() for source in package.rglob("*.py"))))
    assert {name for name in re.findall(r"`(_?[A-Z]\w{3,}|_[a-z_]+)`", page) if name not in known} == set()


def test_every_wing_is_in_the_architecture() -> None:
    """Each folder of the package has its paragraph."""
    package = TOP / "src" / "penstock"
    wings = {path.parent.name for path in package.glob("*/__init__.py")}
    assert [wing for wing in wings if f"`{wing}/`" not in PAGES["architecture"]] == []


def test_every_rule_that_is_cited_is_in_the_design() -> None:
    """Code and tests say "Rule 7"; the page about the design has it."""
    rules = set(re.findall(r"\*\*Rule (\d+)\.", PAGES["design"]))
    sources = [path for folder in ("src", "tests") for path in (TOP / folder).rglob("*.py")]
    cited = {rule for path in sources for rule in re.findall(r"\bRule (\d+)\b", path.read_text())}
    assert cited <= rules


def test_every_message_that_is_quoted_is_said() -> None:
    """Messages that are headings of the page about troubleshooting are in the code, word for word."""
    package = TOP / "src" / "penstock"
    code = " ".join(" ".join(path.read_text().split()) for path in package.rglob("*.py"))
    said = re.sub(r"\" f?\"", "", code)  # texts that go on in the next line
    quoted = [text for text in re.findall(r"^## `(.+)`$", PAGES["troubleshooting"], re.MULTILINE) if " " in text]
    assert len(quoted) > 2
    assert [text for text in quoted if text not in said] == []
