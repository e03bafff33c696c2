"""`penstock run` with its own pipeline: real processes, real commands."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Cli
from support.stations import LIMIT, until

NAMES = [
    b"plain",
    b"with blank",
    b"quo'te\"s",
    b"new\nline",
    b"\xff\xfe not utf-8",
    b"-dash",
    b"$HOME;`x`*?",
    "ünïcode".encode(),
]


def test_commands_run_and_print_in_order(cli: Cli) -> None:
    """`-k` prints in the order of the input; the place is said on stderr; exit code 0."""
    done = cli("run", "-k", "-j2", "echo", "{#}-{}", ":::", "a", "b c")
    assert (done.returncode, done.stdout) == (0, b"1-a\n2-b c\n")
    assert done.stderr == b"penstock: embedded, 2 slots\npenstock: 2 jobs succeeded\n"


def test_failed_commands_exit_1_and_say_why(cli: Cli) -> None:
    """A non-zero exit code is a failed job; what the command said on stderr passes."""
    done = cli("run", "-k", "--shell", "echo out; echo err >&2; exit {}", ":::", "0", "3")
    assert (done.returncode, done.stdout) == (1, b"out\nout\n")
    assert done.stderr.count(b"err\n") == 2


def test_command_that_is_not_there_is_named(cli: Cli) -> None:
    """A program that does not exist fails its job with that cause."""
    done = cli("run", "no-such-program", ":::", "a")
    assert done.returncode == 1
    assert b"no-such-program" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("way", ["arguments", "stdin"])
def test_any_file_name_is_an_argument(cli: Cli, folder: Path, way: str) -> None:
    """Blanks, quotation marks, newlines and bytes that are no UTF-8 reach the command unchanged."""
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes(name)
    if way == "arguments":
        done = cli("run", "-k", "cat", "--", "{}", ":::", *NAMES)
    else:
        done = cli("run", "-k", "-0", "cat", "--", stdin=b"".join(name + b"\0" for name in NAMES))
    assert (done.returncode, done.stdout) == (0, b"".join(NAMES))


def test_shell_quotes_any_file_name(cli: Cli, folder: Path) -> None:
    """With `--shell` the same names are still one word each, and nothing in them is run."""
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes(name)
    done = cli("run", "-k", "--shell", "cat -- {} | cat", ":::", *NAMES)
    assert (done.returncode, done.stdout) == (0, b"".join(NAMES))


def test_zero_byte_is_no_argument(cli: Cli) -> None:
    """A zero byte cannot reach a command: exit code 2, and nothing has run."""
    done = cli("run", "touch", stdin=b"good\nb\0ad\n")
    assert done.returncode == 2
    assert b"zero byte" in done.stderr


def test_tag_puts_the_arguments_before_each_line(cli: Cli) -> None:
    """`--tag` says whose output it is."""
    done = cli("run", "-k", "--tag", "printf", r"%s\n1\n", ":::", "a", "b")
    assert done.stdout == b"a\ta\na\t1\nb\tb\nb\t1\n"


def test_100_000_arguments(cli: Cli) -> None:
    """As many arguments as the kernel lets through; their calls' values come back in order."""
    numbers = [str(number) for number in range(100_000)]
    done = cli("run", "-k", "--call", "math:sqrt", "--input", "json", ":::", *numbers)
    assert done.returncode == 0, done.stderr
    assert [float(line) for line in done.stdout.split()] == [math.sqrt(number) for number in range(100_000)]


def test_function_of_a_module_in_the_current_folder(cli: Cli, folder: Path) -> None:
    """`--call` finds modules beside the user, here and in the slots; None is no output; prints pass."""
    (folder / "mine.py").write_text("def shout(text):\n    print('heard', text)\n    return text.upper() or None\n")
    done = cli("run", "-k", "--call", "mine:shout", stdin=b"a\n\nb\n")
    assert (done.returncode, done.stdout) == (0, b"heard a\nA\nheard \nheard b\nB\n")


def test_error_of_a_function_is_one_line(cli: Cli) -> None:
    """A call that raises fails its job: cause on stderr, exit code 1, the others go on."""
    done = cli("run", "-k", "--call", "builtins:int", stdin=b"1\nx\n3\n")
    assert (done.returncode, done.stdout) == (1, b"1\n3\n")
    assert b":1 failed: " in done.stderr
    assert b"ValueError" in done.stderr
    assert b"Traceback" not in done.stderr


def test_json_gives_an_object_per_job(cli: Cli) -> None:
    """`--json`: everything about a job on one line."""
    done = cli("run", "-k", "--json", "--shell", "echo {}; exit {}", ":::", "0", "7")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["index"], first["state"], first["stdout"], first["returncode"]) == (0, "succeeded", "0\n", 0)
    assert (second["state"], second["returncode"], second["attempts"]) == ("failed", 7, 1)


def test_retries_and_timeout_are_the_jobs(cli: Cli, folder: Path) -> None:
    """`--retries` tries again, `--timeout` ends what runs too long."""
    done = cli("run", "--retries", "2", "--shell", "echo x >> {}; [ $(wc -l < {}) = 3 ]", ":::", "f")
    assert done.returncode == 0, done.stderr
    assert (folder / "f").read_text() == "x\n" * 3
    done = cli("run", "--timeout", "0.5", "sleep", ":::", "60")
    assert done.returncode == 1
    assert b"timed_out" in done.stderr


def test_reader_that_stops_reading_ends_it_quietly(folder: Path) -> None:
    """`| head` ends the run without a complaint."""
    done = subprocess.run(
        ["bash", "-c", f"seq 5000 | {sys.executable} -m penstock run --call builtins:str | head -n 1"],
        capture_output=True,
        cwd=folder,
        timeout=2 * LIMIT,
        check=False,
    )
    assert done.stdout.count(b"\n") == 1
    assert done.stderr.splitlines()[1:] == []


def interrupted(folder: Path, signals: int) -> tuple[int, int, int]:
    """Run twelve jobs in two slots, interrupt when two have begun: exit code, how many jobs began, how many ended."""
    script = "touch {}.begun; while [ ! -e open ]; do sleep 0.05; done; touch {}.done"
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", "-j2", "--shell", script, ":::", *map(str, range(12))],
        cwd=folder,
        stderr=subprocess.PIPE,
    )
    until(lambda: len(list(folder.glob("*.begun"))) == 2)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    with process.stderr as said:
        until(lambda: b"Ctrl-C again" in said.readline())
        if signals == 2:
            process.send_signal(signal.SIGINT)
        else:
            (folder / "open").touch()
        code = process.wait(LIMIT)
    return code, len(list(folder.glob("*.begun"))), len(list(folder.glob("*.done")))


def test_one_interrupt_lets_running_jobs_finish(folder: Path) -> None:
    """Ctrl-C: what runs finishes, no other begins, exit code 130."""
    assert interrupted(folder, 1) == (130, 2, 2)


def test_second_interrupt_ends_running_jobs(folder: Path) -> None:
    """Ctrl-C twice: what runs is ended, exit code 130."""
    code, _, done = interrupted(folder, 2)
    assert (code, done) == (130, 0)


def test_progress_is_on_a_terminals_stderr_only(folder: Path) -> None:
    """Done, failed and rate on stderr when that is a terminal; stdout has results and nothing else."""
    master, slave = pty.openpty()
    with open(master, "rb", buffering=0) as terminal:
        with open(slave, "wb") as stderr:
            done = subprocess.run(
                [sys.executable, "-m", "penstock", "run", "-k", "--shell", "sleep 0.2; echo {}", ":::", "a", "b", "c"],
                cwd=folder,
                env=os.environ | {"TERM": "xterm", "CI": ""},  # where these say that nobody looks on there is none
                stdout=subprocess.PIPE,
                stderr=stderr,
                check=True,
            )
        seen = b""
        with contextlib.suppress(OSError):  # EIO: nobody writes any more
            while block := terminal.read(4096):
                seen += block
    assert done.stdout == b"a\nb\nc\n"
    assert re.search(rb"[12]/3.*?0 failed", seen)


def test_a_slow_input_is_run_as_it_comes(folder: Path) -> None:
    """What a line came to is shown before the next line is there; Ctrl-C ends the reading, and what was done counts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", "--joblog", "log", "-k", "echo", "got"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as lines, process.stdout as shown:
        for number in range(3):
            lines.write(b"%d\n" % number)
            assert shown.readline() == b"got %d\n" % number
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 130
    assert len((folder / "log").read_text().splitlines()) == 4


def test_a_bad_line_that_comes_late_ends_the_input(folder: Path) -> None:
    """What came before it runs to its end; exit code 2 and the line that says what is wrong."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", "echo", "got"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"good\n")
    assert process.stdout.readline() == b"got good\n"
    out, err = process.communicate(b"b\0ad\nnever\n", LIMIT)
    assert (process.returncode, out) == (2, b"")
    assert b"zero byte" in err


def test_halt_soon_starts_nothing_that_waits(cli: Cli, folder: Path) -> None:
    """Not at a worker either: what runs in that instant ends by itself."""
    numbers = map(str, range(30))
    done = cli(
        "run", "-j2", "--halt", "soon,fail=1", "--shell", "touch {}.begun; sleep 0.3; test {} != 0", ":::", *numbers
    )
    assert done.returncode == 1
    assert len(list(folder.glob("*.begun"))) < 10


def test_options_of_calls_and_crashes(cli: Cli, folder: Path) -> None:
    """`--initializer` comes before the first call of a slot, with `--serializer msgpack` values are plain data, with
    `--max-crashes 1` no job is started twice."""
    (folder / "mine.py").write_text(
        "import os\n"
        "ready = []\n"
        "def prepare():\n"
        "    ready.append('ready')\n"
        "def look(x):\n"
        "    return [*ready, x]\n"
        "def bag(x):\n"
        "    return {x}\n"
        "def crash(x):\n"
        "    os.write(os.open(x, os.O_WRONLY | os.O_CREAT | os.O_APPEND), b'+')\n"
        "    os.abort()\n"
    )
    words = ["run", "-j1", "-k", "--initializer", "mine:prepare", "--call", "mine:look", ":::", "a", "b"]
    assert cli(*words).stdout == b'["ready", "a"]\n["ready", "b"]\n'
    words = ["run", "-j1", "--call", "mine:bag", ":::", "a"]
    assert cli(*words).stdout == b"{'a'}\n"
    assert cli(*words[:2], "--serializer", "msgpack", *words[2:]).stdout == b'["a"]\n'
    for crashes in (1, 2):
        done = cli("run", "-j1", "--max-crashes", str(crashes), "--call", "mine:crash", ":::", f"trace{crashes}")
        assert (done.returncode, (folder / f"trace{crashes}").read_bytes()) == (1, b"+" * crashes)
