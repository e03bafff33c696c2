from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.run.submit import command as submit
from penstock.cli.run.user_shell import functions
from penstock.cli.run.work import Work, first_of, shown
from penstock.client.options import spec_of
from penstock.errors import ConfigError
from penstock.job.command import CommandTemplate
from penstock.job.spec import BatchSpec


def work(*words: str, **options: Any) -> Work:
    defaults: dict[str, Any] = {
        "files": (),
        "null": False,
        "colsep": None,
        "max_args": None,
        "shell": None,
        "one": False,
        "call": None,
        "kind": "text",
        "env": (),
        "cwd": None,
        "user": "",
        "timeout": None,
    }
    return Work(**defaults | options, words=words)


def template(asked: Work) -> CommandTemplate:
    target = asked.target()
    assert isinstance(target, CommandTemplate)
    return target


@pytest.fixture(autouse=True)
def _no_shell_of_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are run by /bin/sh, whoever runs the tests."""
    monkeypatch.setenv("SHELL", "/bin/sh")
    for name in functions().values():
        monkeypatch.delenv(name)


def argvs(asked: Work) -> list[list[bytes]]:
    return [template(asked).argv(arguments) for arguments in asked.inputs()]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What is written to this file is read from stdin by the next command."""
    path = tmp_path / "stdin"
    path.touch()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(path.open("rb")))
    return path


def test_command_runs_once_for_each_argument_in_the_current_folder() -> None:
    """A template with the submitter's folder, and an argument list for each job."""
    asked = work("gzip", "-9", ":::", "a b", "c")
    assert argvs(asked) == [[b"gzip", b"-9", b"a b"], [b"gzip", b"-9", b"c"]]
    assert template(asked).cwd == os.getcwdb()


def test_one_runs_the_command_as_it_stands() -> None:
    """`--one` replaces nothing and reads nothing."""
    assert argvs(work("echo", "{}", one=True)) == [[b"echo", b"{}"]]


def test_one_takes_no_input() -> None:
    """`--one` with arguments is wrong use."""
    with pytest.raises(ConfigError, match="takes no input"):
        work("echo", ":::", "a", one=True)


def test_columns_are_arguments(stdin: Path) -> None:
    """`--colsep` cuts every item, and takes the blanks around a column away."""
    stdin.write_bytes(b"a, b\nc,d\n")
    assert argvs(work("echo", "{2}-{1}", colsep=",")) == [[b"echo", b"b-a"], [b"echo", b"d-c"]]


@pytest.mark.parametrize("words", [("echo", "{3}", ":::", "a", ":::", "b"), ("echo", "{-3}", ":::", "a", ":::", "b")])
def test_place_beyond_the_last_input_is_refused(words: tuple[str, ...]) -> None:
    """It would be empty in every job."""
    with pytest.raises(ConfigError, match=r"\{-?3\} in the command, but each job has 2 inputs"):
        work(*words)


def test_place_within_a_group_is_an_argument() -> None:
    """`-n 3` gives three."""
    assert argvs(work("echo", "{3}", ":::", "a", "b", "c", max_args=3)) == [[b"echo", b"c"]]


def test_wrong_pattern_is_named() -> None:
    """`--colsep` is a regular expression."""
    with pytest.raises(ConfigError, match=r"--colsep \(: "):
        list(work("echo", ":::", "a", colsep="(").inputs())


def test_job_is_shown_as_one_would_type_it() -> None:
    """A shell line as it is, a command quoted where it must be, a call in Python."""
    line = work("cat {} | wc", ":::", "a b", shell=True)
    assert shown(line, line.target(), [b"a b"], 1) == b"cat 'a b' | wc"
    command = work("echo", "{#}", "{}", "{%}", ":::", "a b")
    assert shown(command, command.target(), [b"a b"], 7, 2) == b"echo 7 'a b' 2"
    call = work(call="math:sqrt")
    assert shown(call, call.target(), "4", 1) == b"math:sqrt('4')"


def test_shell_like_word_asks_for_shell() -> None:
    """A shell line without `--shell` is refused before anything starts."""
    with pytest.raises(ConfigError, match="looks like a shell line: add --shell"):
        work("cat {} | wc", ":::", "a")


def test_shell_quotes_every_argument() -> None:
    """With `--shell` a hostile file name stays one word."""
    assert argvs(work("cat {} | wc", ":::", "a; rm b", shell=True)) == [[b"/bin/sh", b"-c", b"cat 'a; rm b' | wc"]]


def test_without_command_each_line_is_one(stdin: Path) -> None:
    """Lines of stdin are cut into words; empty ones are no commands."""
    stdin.write_bytes(b"echo 'a b'\n\n  true\n")
    assert argvs(work()) == [[b"echo", b"a b"], [b"true"]]


def test_without_command_but_shell_each_line_is_a_shell_line(stdin: Path) -> None:
    """With `--shell` a line reaches the shell unchanged."""
    stdin.write_bytes(b"echo $HOME | wc\n")
    assert argvs(work(shell=True)) == [[b"/bin/sh", b"-c", b"echo $HOME | wc"]]


def test_stdin_is_read_when_no_input_is_named(stdin: Path) -> None:
    """Arguments come from stdin, by line or by zero byte."""
    stdin.write_bytes(b"a\nb\0c\n")
    assert argvs(work("echo", null=True)) == [[b"echo", b"a\nb"], [b"echo", b"c\n"]]


def test_call_is_given_text_or_json() -> None:
    """`--input json` decodes each argument."""
    assert list(work(":::", "4", "x", call="math:sqrt").inputs()) == ["4", "x"]
    assert list(work(":::", "4", "[1, 2]", call="math:sqrt", kind="json").inputs()) == [4, [1, 2]]


def test_line_that_is_not_json_is_named() -> None:
    """The number of the bad line is in the error."""
    with pytest.raises(ConfigError, match="input line 2 is not JSON"):
        list(work(":::", "4", "x", call="math:sqrt", kind="json").inputs())


def test_call_finds_the_function() -> None:
    """MODULE:FUNCTION is imported here, so that a wrong name costs no job."""
    assert work(call="os.path:join").target() is os.path.join


@pytest.mark.parametrize(
    ("name", "reason"),
    [("math", "MODULE:FUNCTION"), ("math:nothing", "nothing"), ("no_module:f", "no_module"), ("math:pi", "a float")],
)
def test_wrong_call_says_what_is_wrong(name: str, reason: str) -> None:
    """A name without a function, a missing one, a missing module, and what cannot be called."""
    with pytest.raises(ConfigError, match=reason):
        work(call=name).target()


def test_call_and_command_exclude_each_other() -> None:
    """A command beside `--call` is wrong use."""
    with pytest.raises(ConfigError, match="not a command: 'gzip'"):
        work("gzip", call="math:sqrt")


def test_env_adds_to_the_commands_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME takes the value it has here."""
    monkeypatch.setenv("COLOUR", "blue")
    assert template(work("x", env=("A=1=2", "COLOUR"))).env == {b"A": b"1=2", b"COLOUR": b"blue"}


def test_env_without_a_value_anywhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not set here needs a value."""
    monkeypatch.delenv("COLOUR", raising=False)
    with pytest.raises(ConfigError, match="write COLOUR=VALUE"):
        work("x", env=("COLOUR",)).target()


def test_wrong_option_is_named() -> None:
    """What is no time, and a name that is too long, are refused before anything starts."""
    with pytest.raises(ConfigError, match="--not-before: 'soon' is no duration"):
        work("x", terms={"not_before": "soon"})
    with pytest.raises(ConfigError, match="name has 300 characters"):
        work("x", terms={"name": "a" * 300})


def test_first_of_tells_whether_there_is_input() -> None:
    """Nothing is None; else all of it comes, the first item too."""
    assert first_of(iter(())) is None
    assert list(first_of(iter("ab")) or ()) == ["a", "b"]


def test_jobs_are_counted_where_all_of_the_input_is_there(tmp_path: Path, stdin: Path) -> None:
    """Words and files; of what is still to come nobody knows, and nothing of it is used up."""
    (tmp_path / "list").write_text("1\n2\n3\n")
    stdin.write_text("1\n2\n")
    assert work("echo", ":::", "a", "b", ":::", "c").count_up_to(9) == 2
    assert work("echo", "::::", str(tmp_path / "list")).count_up_to(9) == 3
    assert work("echo", ":::", *"abcdefgh").count_up_to(5) == 5
    assert work("echo", one=True).count_up_to(5) == 1
    piped = work("echo")
    assert piped.count_up_to(5) == 5
    assert len(list(piped.inputs())) == 2


@pytest.mark.parametrize("option", [{"serializer": "msgpack"}, {"initializer": "math:sqrt"}])
def test_options_of_calls_are_none_of_commands(option: dict[str, str]) -> None:
    """A command is a program of its own."""
    with pytest.raises(ConfigError, match="are for --call"):
        work("echo", ":::", "a", **option)


def spec(*flags: str) -> BatchSpec:
    """What `penstock submit` makes of its flags."""
    params = submit.make_context("submit", [*flags, ":::", "1"]).params
    asked = Work.of(
        {name: value for name, value in params.items() if name not in {"url", "at_once", "wait", "as_json"}}
    )
    return spec_of(asked.options(), kind="command" if asked.is_command else "call")


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ([], {}),
        (["--retain", "2d"], {"retain": 172_800.0}),
        (["--retries", "2", "--retry-delay", "5"], {"retries": 2, "retry_delay": 5.0}),
        (["--max-crashes", "1"], {"max_crashes": 1}),
        (["--time-limit", "1m"], {"time_limit": 60.0}),
        (["--timeout", "1.5"], {"time_limit": 1.5}),
        (["--priority", "3", "--limit", "4"], {"priority": 3, "limit": 4}),
        (["--needs", "gpu", "--needs", "big", "--worker", "w1"], {"needs": ("big", "gpu"), "worker": "w1"}),
    ],
)
def test_a_flag_is_the_option_of_its_name(flags: list[str], wanted: dict[str, Any]) -> None:
    """And without it there is the default."""
    assert spec(*flags, "true") == BatchSpec(kind="command", **{"keep_output": None, **wanted})


def test_the_serializer_of_calls() -> None:
    """Pickle, unless it is said."""
    assert spec("--call", "math:sqrt").serializer == "pickle"
    assert spec("--call", "math:sqrt", "--serializer", "msgpack").serializer == "msgpack"
