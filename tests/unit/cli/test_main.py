from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import cli, errors
from penstock.cli.error_exit import exit_code, text_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.NoSuchBatch("x"), 2),
        (errors.NoSuchWorker("x"), 2),
        (errors.NoPipeline("x"), 3),
        (errors.Refused("x"), 4),
        (errors.StoreError("x"), 1),
        (RuntimeError("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: Exception, code: int) -> None:
    """A shell script can tell wrong use, no pipeline and refusal apart."""
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x\n"), "/data/x\\n: no space left on device"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files"),
        (MemoryError(), "out of memory"),
        (errors.ConfigError("no file a\nb\x1b[2J"), "no file a\\nb\\x1b[2J"),
    ],
)
def test_what_the_system_says_of_the_machine_is_no_fault_of_ours(error: Exception, text: str) -> None:
    """A full disk, too few files: one line about that, whatever the file is called. Only what is left is a fault."""
    assert text_of(error) == text
    assert "a fault of penstock's own" in text_of(OSError(errno.EBADF, "Bad file descriptor"))
    assert "a fault of penstock's own" in text_of(AssertionError())


def test_unknown_option_exits_2_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """An option of GNU parallel that is not ours is named, on one line."""
    assert cli.main(["run", "--semaphore", "true"]) == 2
    said = capsys.readouterr()
    assert "--semaphore" in said.err
    assert said.err.count("\n") == 1
    assert not said.out


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("echo {3} ::: a ::: b", "{3} in the command, but each job has 2 inputs"),
        ("--halt later echo ::: a", "write soon,fail=N"),
        ("--timeout -3 echo ::: a", "not a duration"),
        ("--timeout 200% echo ::: a", "not a duration"),
        ("--retries -1 echo ::: a", "--retries"),
        ("--colsep ( echo ::: a", "--colsep"),
        ("--results out.csv echo ::: a", "the name of a folder"),
        ("--joblog /no/such/place echo ::: a", "cannot write /no/such/place"),
        ("--json --tag echo ::: a", "--json excludes --tag"),
        ("--resume echo ::: a", "--data DIR"),
        ("--url tcp://h:1 --data d echo ::: a", "has its own data"),
        ("--one echo ::: a", "takes no input"),
        ("--call math:sqrt --colsep , ::: a", "none of"),
        ("echo :::+ a", "links to the input source before it"),
        ("echo :::: /no/such/file", "cannot read /no/such/file"),
        ("--header 2 echo ::: a", "--header :"),
        ("echo :::: - -", "stdin (-) is named twice"),
        ("-a - echo :::: -", "stdin (-) is named twice"),
        ("--timeout nan echo ::: a", "not a duration"),
        ("--results /etc/passwd/x echo ::: a", "there is no folder"),
        ("--pipe wc ::: a", "--pipe"),
        ("--sshlogin h echo ::: a", "--sshlogin"),
        ("-X ::: a", "there is none"),
        ("--plus echo {/(/x} ::: a", "{/(/x}: missing )"),
        ("--tagstring {%} echo ::: a", "--tagstring"),
        ("--call math:sqrt --plus ::: a", "--plus"),
    ],
)
def test_wrong_line_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, reason: str
) -> None:
    """Contradictions, places without an input, options of GNU parallel that are not ours: exit 2, one line."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", *line.split()]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("penstock run: ")
    assert reason in said.err
    assert said.err.count("\n") == 1
    assert (said.out, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.parametrize("option", ["--url", "--data", "--key", "--joblog", "--results", "--cwd", "--timeout", "-a"])
def test_an_empty_value_is_a_variable_that_is_not_set(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """It never means the current folder, a pipeline of one's own, or no limit."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", option, "", "echo", ":::", "a"]) == 2
    said = capsys.readouterr()
    assert "it is empty" in said.err
    assert said.err.count("\n") == 1
    assert (said.out, list(tmp_path.iterdir())) == ("", [])


def test_wrong_use_is_one_line_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong and what to do, and who says it."""
    assert cli.main(["run", "cat {} | wc", ":::", "a"]) == 2
    assert capsys.readouterr().err == "penstock run: 'cat {} | wc' looks like a shell line: add --shell\n"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """`--debug` shows where an error comes from."""
    assert cli.main(["run", "--debug", "cat {} | wc", ":::", "a"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` works everywhere and every command says what it is in the list."""
    for name, command in cli.group.commands.items():
        assert command.short_help, name
        assert cli.main([name, "--help"]) == 0
        assert command.help is not None
        assert command.help.split(".")[0] in " ".join(capsys.readouterr().out.split()), name


def test_dry_run_prints_what_would_be_typed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`--dry-run` starts nothing and quotes what needs it."""
    assert cli.main(["run", "--dry-run", "mv", "{}", "{.}.bak", ":::", "a b.txt", "c.d"]) == 0
    assert capfdbinary.readouterr().out == b"mv 'a b.txt' 'a b.bak'\nmv c.d c.bak\n"


def test_empty_input_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """No arguments: 0 jobs, one line, nothing started."""
    assert cli.main(["run", "echo", ":::"]) == 0
    assert capsys.readouterr() == ("", "penstock: empty input: 0 jobs\n")


def test_non_loopback_bind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reaches a job socket runs code: strangers must not, unless the user insists."""
    assert cli.main(["up", "--bind", "tcp://0.0.0.0:5555"]) == 2
    assert "--insecure" in capsys.readouterr().err


def test_help_imports_nothing_slow() -> None:
    """`penstock --help` loads no sockets, no database, no client, no rich, no cloudpickle."""
    program = (
        "import sys; from penstock.cli import main; main(['run', '--help']); "
        "slow = {'penstock.client', 'zmq', 'apsw', 'rich', 'cloudpickle', 'psutil', 'asyncio'}; "
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
