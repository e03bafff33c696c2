"""The same lines through GNU parallel and through `penstock run`: where the meaning is meant to be the same, so is
what comes out."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import Cli

if shutil.which("parallel") is None and not os.environ.get("CI"):
    pytest.skip("GNU parallel is not here: scripts/test installs it as root", allow_module_level=True)


def dated() -> int:
    """Of which day the GNU parallel is that is here."""
    if shutil.which("parallel") is None:
        return 0
    said = subprocess.run(["parallel", "--version"], capture_output=True, check=True).stdout
    return int(said.split()[2])  # GNU parallel 20221122


until_2023 = pytest.mark.skipif(
    dated() >= 2023_01_01, reason="this GNU parallel (Debian 13 has it) escapes names and counts signals in another way"
)

REPLACED = [
    "| {} ::: a b",
    "| ::: a b",
    "| {.} {/} {//} {/.} ::: /a/b.c d.e/f g h.tar.gz .hidden x/ a.b/c ./d. x//y/ / //r",
    "| {1} {2} {} ::: a b ::: c d",
    "| {2}-{1} ::: a b :::+ c d e",
    "| {1/.} {2//} {-1} {-2} ::: /a/b.c ::: /d/e.f",
    "| {#} {} x{}y{} ::: x y z",
    "-n2 | {1} {2} ::: a b c d e",
    "-n 3 | ::: a b c d",
    "| {1} {2} :::: one two",
    "| {} {} :::: one ::: p q",
    "| {1}{2} :::: one ::::+ two",
    "-a one | {}",
    "-a one -a two | {2} {1}",
    "--colsep , | {2} {1} ::: a,b c,d",
    "--colsep [,;] | {3} ::: a,b;c",
    "-C , | {2} x{1} ::: a, b",
    "| {1} ::: a ::: b c :::+ d e",
    "| {#}-{%} ::: a b",
    "| {3}{1} ::: a ::: b ::: c d",
    "| {} ::: a b c :::+ d e f ::: x y",
    "| {} :::: one :::+ p q",
    "-n2 | {1} x {2} ::: a b c",
    "-n 2 --colsep , | {1} {2} {3} {4} ::: a,b c d,e,f",
    "--colsep , | {1} {2} {3} ::: a,b,c d,e",
    "--colsep , | ::: a,b,c d",
    "--max-args 2 -a one |",
    "--tag | {1} {2} ::: a b ::: c",
    "--tag --colsep , | {2} ::: a,b",
]


@pytest.mark.parametrize("line", REPLACED)
def test_replacement_strings_and_combinations(theirs: Cli, ours: Cli, line: str) -> None:
    """What is run for each input, in the order of the input."""
    options, _, rest = line.partition("| ")
    words = ["--dry-run", "-k", *options.split(), "echo", *rest.split()]
    expected, done = theirs(*words), ours(*words)
    assert (expected.returncode, done.returncode) == (0, 0), (expected.stderr, done.stderr)
    # where quotation marks stand is a matter of taste
    assert list(map(shlex.split, done.stdout.decode().splitlines())) == [
        shlex.split(row) for row in expected.stdout.decode().splitlines()
    ]


HOSTILE = [b"with blank", b"quo'te\"s", b"$HOME;`x`*?", b"\\back", b"-dash", b"\xff", b"{}", b"tab\there", b"#"]


@pytest.mark.parametrize("shell", [["--shell"], []])
def test_arguments_arrive_as_they_are(theirs: Cli, ours: Cli, shell: list[str]) -> None:
    """Whatever is in a line, with `-0` and newlines too; grouped per job and in order with `-k`."""
    stdin = b"\0".join([*HOSTILE, b"new\nline"]) + b"\0"
    words = ["-0", "-k", "printf", "%s."]
    assert ours(*shell, *words, stdin=stdin).stdout == theirs(*words, stdin=stdin).stdout


READ = [
    (b"a\n\nb\n", ["echo x{}y"]),
    (b"a\r\nb", ["echo x{}y"]),
    (b"a b\0c\nd\0", ["-0", "echo x{}y"]),
    (b"a b\nc\n", ["--colsep", " ", "-n2", "echo {1} {2} {3}"]),
    (b"x\ny\n", ["echo {}", "::::", "-", ":::", "a", "b"]),
    (b"ignored\n", ["cat; echo {}", ":::", "a", "b"]),
    (b"", ["echo {}"]),
]


@pytest.mark.parametrize(("stdin", "words"), READ)
def test_input_is_read_alike(theirs: Cli, ours: Cli, stdin: bytes, words: list[str]) -> None:
    """Empty lines, a last line without an end, zero bytes, several sources of which one is stdin."""
    expected, done = theirs("-k", *words, stdin=stdin), ours("--shell", "-k", *words, stdin=stdin)
    assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout)


def test_order(theirs: Cli, ours: Cli, folder: Path) -> None:
    """With `-k` the order of the input, though the last job ends first: each waits for the one behind it."""
    wait = "until [ {} = 3 ] || [ -e ended-$(({} + 1)) ]; do sleep 0.02; done; echo {}; touch ended-{}"
    words = ["-k", "-j3", wait, ":::", "1", "2", "3"]
    expected = theirs(*words).stdout
    for file in folder.glob("ended-*"):
        file.unlink()
    assert ours("-j1", "--shell", *words).stdout == expected == b"1\n2\n3\n"


def test_tag_and_shell_lines(theirs: Cli, ours: Cli) -> None:
    """`--tag` puts the arguments before each line; pipes and quotes of a template are the shell's."""
    words = ["-k", "--tag", "(echo {1}; echo 'two  blanks {2}') | cat -n", ":::", "a b", "c", ":::", "d"]
    assert ours("--shell", *words).stdout == theirs(*words).stdout


def test_lines_without_a_command_are_commands(theirs: Cli, ours: Cli) -> None:
    """Each input line is one."""
    stdin = b"echo 'a  b'\necho $((1 + 1)) | cat\n"
    assert ours("--shell", "-k", stdin=stdin).stdout == theirs("-k", stdin=stdin).stdout


@pytest.mark.parametrize("options", [["--tag"], ["--keep-order"]])
def test_line_by_line(theirs: Cli, ours: Cli, options: list[str]) -> None:
    """`--lb` shows the same lines on the same streams, those of a job in their order, with `-k` those of all."""
    line = "for n in 1 2 3; do echo {}-$n; echo err {} >&2; sleep 0.0{}; done; printf last"
    words = ["--lb", *options, line, ":::", "1", "2", "3"]
    expected, done = theirs(*words), ours("-j2", "--shell", *words)
    assert len(done.stdout) == len(expected.stdout)
    for job in (b"1-", b"2-", b"3-"):
        mine, gnus = ([row for row in text.splitlines() if job in row] for text in (done.stdout, expected.stdout))
        assert [row[row.index(job) :] for row in mine] == [row[row.index(job) :] for row in gnus]
    if {"-k", "--keep-order"} & set(options):
        assert done.stdout == expected.stdout
    assert sorted(expected.stderr.splitlines()) == sorted(
        row for row in done.stderr.splitlines() if not row.startswith(b"penstock:")
    )


@pytest.mark.parametrize("halt", ["soon,fail=1", "now,fail=1", "now,success=2", "soon,done=2", "2"])
def test_halt(theirs: Cli, ours: Cli, halt: str) -> None:
    """It stops after the same job, and says whether all went well."""
    words = ["-k", "--halt", halt, "sleep 0.2; echo {}; exit {}", ":::", "0", "2", "0", *["1"] * 9]
    expected, done = theirs(*words), ours("-j1", "--shell", *words)
    assert (done.returncode == 0) == (expected.returncode == 0)
    assert done.stdout.startswith(expected.stdout)
    assert done.stdout.count(b"\n") < 12


def columns(log: bytes) -> list[tuple[bytes, ...]]:
    """Of a joblog, what is the same in both: all but when and how long."""
    rows = [line.split(b"\t") for line in log.splitlines()]
    assert all(float(row[2]) > 1e9 and re.fullmatch(rb" *\d+\.\d{3}", row[3]) for row in rows[1:])
    return [(row[0], row[1], *row[4:]) for row in rows]


@until_2023
def test_joblog(theirs: Cli, ours: Cli, folder: Path) -> None:
    """The same columns for exit codes, signals, time limits and quoted arguments."""
    script = "echo {}; case {} in k) kill -9 $$;; s) sleep 60;; [0-9]) exit {};; esac"
    words = ["-k", "--timeout", "1", "--joblog", "log", script, ":::", "0", "3", "it's", "k", "s"]
    done = ours("-j1", "--shell", *words)
    log = (folder / "log").read_bytes()
    expected = theirs(*words)
    assert columns(log) == columns((folder / "log").read_bytes())
    assert done.stdout == expected.stdout


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; takes them away."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["echo {}; echo err >&2", ":::", "a b", "c d"],
        pytest.param(["echo {}; echo err >&2", ":::", "c/d", "back\\slash", "tab\there"], marks=until_2023),
        ["echo {1} {2}", ":::", "a", "b", ":::", "c"],
        ["-n2", "echo", ":::", "a", "b", "c"],
        ["--colsep", ",", "echo {2}", ":::", "a,b", "c,d"],
        ["-k", "--tag", "echo {1}; exit {2}", ":::", "a", "b", ":::+", "0", "3"],
        pytest.param(["--lb", "echo {}; printf last", ":::", "", "x" * 200], marks=until_2023),
    ],
)
def test_results(theirs: Cli, ours: Cli, folder: Path, words: list[str]) -> None:
    """`--results DIR` makes the same folders with the same files in them."""
    ours("--shell", "--results", "res", *words)
    made = tree(folder / "res")
    theirs("--results", "res", *words)
    assert made == tree(folder / "res")


def test_retries_count_differently(theirs: Cli, ours: Cli, folder: Path) -> None:
    """`--retries 1` is one run there, and up to two here: the help says so."""
    words = ["--retries", "1", "echo x >> count; false", ":::", "a"]
    theirs(*words)
    assert (folder / "count").read_text() == "x\n"
    ours("--shell", *words)
    assert (folder / "count").read_text() == "x\n" * 3
