"""Settings: flag, environment, file, default."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from penstock import cli
from penstock.cli import settings
from penstock.cli.options import running
from penstock.url import default_url


@click.group()
def group() -> None:
    """Two commands with different settings."""


@group.command("ask")
@running
def ask(url: str) -> None:
    """Says where it would ask."""
    print(url)


@group.command("work")
@click.option("--slots", type=int, envvar="PENSTOCK_SLOTS", default=1)
@click.option("--retries", type=int, default=0)
@settings.option
def work(slots: int, retries: int) -> None:
    """Says how it would work."""
    print(slots, retries)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's settings file goes; none of the machine's is read, and nothing is in the environment."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(settings, "SYSTEM_FILE", tmp_path / "system.toml")
    (tmp_path / "penstock").mkdir()
    return tmp_path


def said(*words: str) -> str:
    done = CliRunner().invoke(group, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.strip()


def test_flag_beats_environment_beats_file_beats_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the four, one after the other."""
    assert said("ask") == default_url()
    (home / "penstock" / "penstock.toml").write_text('url = "tcp://file:1"\nslots = 7\n')
    assert (said("ask"), said("work")) == ("tcp://file:1", "7 0")
    monkeypatch.setenv("PENSTOCK_URL", "tcp://environment:1")
    assert said("ask") == "tcp://environment:1"
    assert said("ask", "--url", "tcp://flag:1") == "tcp://flag:1"


def test_one_file_is_read_the_nearest(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config, PENSTOCK_CONFIG, the user's, the machine's; never the current folder's."""
    for name in ("flag", "environment", "system", "here/penstock"):
        path = home / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'url = "tcp://{path.stem}:1"')
    monkeypatch.chdir(home / "here")
    assert said("ask") == "tcp://system:1"
    (home / "penstock" / "penstock.toml").write_text('url = "tcp://user:1"')
    assert said("ask") == "tcp://user:1"
    monkeypatch.setenv("PENSTOCK_CONFIG", str(home / "environment.toml"))
    assert said("ask") == "tcp://environment:1"
    assert said("ask", "--config", str(home / "flag.toml")) == "tcp://flag:1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("retries = 2", "unknown setting 'retries'"),
        ("urll = 'x'", "unknown setting 'urll'"),
        ("url = ['x']", "url must be text"),
        ("url = ", "Invalid value"),
        ("url = " + "[" * 100_000, "nested"),
        (None, "cannot read"),
    ],
)
def test_wrong_file_exits_2(home: Path, capsys: pytest.CaptureFixture[str], text: str | None, reason: str) -> None:
    """An unknown key (options of jobs are such), another type, no TOML, no file: one line that names the file."""
    path = home / "wrong.toml"
    if text is not None:
        path.write_text(text)
    assert cli.main(["status", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert reason in error
    assert error.count("\n") == 1


def test_every_command_reads_it() -> None:
    """`--config` is everywhere, and the settings are those that name an environment variable."""
    for name, command in cli.group.commands.items():
        assert "config" in {param.name for param in command.params}, name
    assert {"url", "data", "slots", "workers", "name", "debug", "insecure"} <= set(settings.names(cli.group))


def test_the_key_of_the_settings_file_is_the_key_of_every_command(home: Path) -> None:
    """And says where the pipeline is, as one that is given on the command line does."""
    assert cli.main(["keys", "init", "tcp://head:7000"]) == 0
    (home / "penstock" / "penstock.toml").write_text(f'key = "{home / "penstock" / "keys"}"\n')
    found = {}
    for context in with_a_key(click.Context(cli.group, info_name="penstock")):
        os.environ.pop("PENSTOCK_KEY", None)
        asked = context.command.make_context("it", [], parent=context.parent, resilient_parsing=True)
        found[context.command_path] = os.environ.get("PENSTOCK_KEY"), asked.params["url"]
    os.environ.pop("PENSTOCK_KEY", None)
    assert set(found.values()) == {(str(home / "penstock" / "keys"), "tcp://head:7000")}, found
    assert {"penstock run", "penstock up", "penstock worker", "penstock fleet start", "penstock print k8s"} < set(found)


def test_who_cannot_read_its_key_says_who_it_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The URL is looked for while options are read, and the line begins as all errors of a command do."""
    (home / "penstock" / "penstock.toml").write_text('key = "/nowhere/a.key"\n')
    assert cli.main(["worker"]) == 2
    os.environ.pop("PENSTOCK_KEY", None)
    assert capsys.readouterr().err.startswith("penstock worker: /nowhere/a.key cannot be read")


def with_a_key(context: click.Context) -> Iterator[click.Context]:
    """All commands that take a key, and a URL that it may say."""
    assert isinstance(context.command, click.Group)
    for name, command in context.command.commands.items():
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from with_a_key(below)
        elif {"key", "url"} <= {param.name for param in command.params} and name != "doctor":
            yield below
