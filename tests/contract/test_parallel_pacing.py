"""The same lines through GNU parallel and through `penstock run`: when jobs start, when none does any more, blocks of
stdin, and runs that go on by a joblog."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from conftest import Cli
from support.stations import LIMIT

Done = subprocess.CompletedProcess[bytes]

OURS = f"{shlex.quote(sys.executable)} -m penstock"
SAME = (0, 4, 5, 6, 7, 8)
"""Columns of a joblog that are the same in both: Seq, Send, Receive, Exitval, Signal, Command."""


def lines(log: Path) -> list[tuple[bytes, ...]]:
    """Of a joblog, what is the same in both."""
    rows = (line.split(b"\t", 8) for line in log.read_bytes().splitlines()) if log.exists() else iter(())
    return [tuple(row[place] for place in SAME) for row in rows]


Both = tuple[Done, Done]


def both(gnu: Cli, cli: Cli, folder: Path, *words: str, where: tuple[str, ...] = (), stdin: bytes = b"") -> Both:
    """A line through both, each with a joblog of its own: the logs and the outputs must be the same."""
    theirs = gnu("--joblog", "theirs", *words, stdin=stdin)
    ours = cli("run", *where, "--shell", "--joblog", "ours", *words, stdin=stdin)
    assert lines(folder / "ours") == lines(folder / "theirs"), (ours.stderr, theirs.stderr)
    assert ours.stdout == theirs.stdout, (ours.stderr, theirs.stderr)
    assert ours.returncode == min(1, theirs.returncode), (ours.stderr, theirs.stderr)
    return ours, theirs


# ------------------------------------------------------------------------------------------------------ --halt

FORMS = [
    *("soon,fail=1", "now,fail=1", "soon,fail=2", "now,fail=2", "soon,fail=30%", "now,fail=34%", "soon,fail=100%"),
    *(
        "soon,success=1",
        "now,success=2",
        "soon,success=50%",
        "soon,done=2",
        "now,done=3",
        "soon,done=1%",
        "now,done=99%",
    ),
    *("never", "0", "1", "2", "-1", "-2", "30%"),
]


@pytest.mark.parametrize("halt", FORMS)
def test_not_one_job_more_starts(gnu: Cli, cli: Cli, folder: Path, halt: str) -> None:
    """With one at a time: the jobs that ran are the same ones, each form of --halt considered."""
    words = ["-j1", "--halt", halt, "echo {#} >> ran; echo {}; exit {}", ":::", *"01011200"]
    both(gnu, cli, folder, *words)
    ran = (folder / "ran").read_text().split()
    assert ran[: len(ran) // 2] == ran[len(ran) // 2 :] == list(dict.fromkeys(ran))


@pytest.mark.parametrize("halt", ["soon,fail=1", "now,done=2", "soon,success=50%"])
def test_nor_on_a_running_pipeline(gnu: Cli, cli: Cli, folder: Path, running: str, halt: str) -> None:
    """Where workers take jobs in advance, if there are any."""
    words = ["-j1", "-k", "--halt", halt, "echo {#} >> ran; echo {}; exit {}", ":::", *"0102" * 5]
    both(gnu, cli, folder, *words, where=("--url", running))
    ran = (folder / "ran").read_text().split()
    assert ran[: len(ran) // 2] == ran[len(ran) // 2 :] == list(dict.fromkeys(ran))


WAIT = "until [ -e {}-may-end ]; do sleep 0.02; done"


@pytest.mark.parametrize("order", [[], ["-k"]])
@pytest.mark.parametrize("when", ["soon", "now"])
def test_what_runs_beside_the_one_that_halts(gnu: Cli, cli: Cli, folder: Path, when: str, order: list[str]) -> None:
    """It is let finish, or it is ended; what waits behind it never starts."""
    finishes = "sleep 0.5" if when == "soon" else "sleep 60"
    line = f"echo begun {{}} >> ran; case {{}} in a) {finishes};; b) false;; esac"
    words = ["-j2", "--halt", f"{when},fail=1", line, ":::", "a", "b", "c", "d"]
    begun = []
    for run in (gnu, partial(cli, "run", "--shell")):
        assert run(*order, *words).returncode == 1
        begun.append(sorted((folder / "ran").read_text().splitlines()))
        (folder / "ran").unlink()
    assert begun == [["begun a", "begun b"]] * 2


def test_only_the_last_try_counts(gnu: Cli, cli: Cli, folder: Path) -> None:
    """A job that succeeds in the end has not failed. (3 tries are --retries 3 there, and 2 here.)"""
    line = "echo x >> {}; [ $(wc -l < {}) = 3 ]"
    rest = ["-j1", "--halt", "soon,fail=1", line, ":::"]
    theirs = gnu("--retries", "3", *rest, "a", "b")
    ours = cli("run", "--shell", "--retries", "2", "--retry-delay", "0", *rest, "c", "d")
    assert (theirs.returncode, ours.returncode) == (0, 0), ours.stderr
    assert [(folder / name).read_text() for name in "abcd"] == ["x\n" * 3] * 4


# ------------------------------------------------------------------------------------------------------ --pipe

NUMBERS = b"".join(b"%d\n" % number for number in range(30_000))
INPUTS = {
    "numbers": NUMBERS,
    "no end": b"a\n\n\nbb\nc",
    "empty": b"",
    "one record": b"x" * 70_000,
    "long record": b"short\n" + b"x" * 70_000 + b"\nshort\n" * 9,
    "binary": random.Random(7).randbytes(200_000),
    "starts": b">one\nac\n>two\n>three\ngt\n" * 2_000,
}
CUTS = [
    "--block 20k",
    "--block 20K -N 5000",
    "--block 64k -L 7",
    "--block 64k -L 3 -N 1500",
    "--block 20k --recstart >",
    r"--block 20k --recend \n --recstart > -N 500",
    r"--block 20k --recend \0",
    "--block 30k --recend ",
]


@pytest.mark.parametrize("options", CUTS)
@pytest.mark.parametrize("name", INPUTS)
def test_blocks_are_the_same(gnu: Cli, cli: Cli, folder: Path, running: str, name: str, options: str) -> None:
    """Which bytes each job reads, and how many jobs there are."""
    words = ["--pipe", "-k", *options.split(" "), "echo {#} [{}]; md5sum; wc -c"]
    both(gnu, cli, folder, *words, where=("--url", running), stdin=INPUTS[name])


@pytest.mark.parametrize("options", [[], ["--tag"], ["-N", "1000"], ["--lb"]])
def test_blocks_of_a_pipeline_of_its_own(gnu: Cli, cli: Cli, folder: Path, options: list[str]) -> None:
    """As they are by default; wc, which looks at what its stdin is, prints the same."""
    both(gnu, cli, folder, "--pipe", "-k", *options, "wc", stdin=NUMBERS)


def test_a_command_that_does_not_read_its_block(cli: Cli, folder: Path) -> None:
    """It succeeds or fails by itself. (In GNU parallel `true` may fail then.)"""
    done = cli("run", "--pipe", "-k", "--block", "100k", "head", "-c3", stdin=NUMBERS)
    assert (done.returncode, done.stdout[:3], len(done.stdout)) == (0, b"0\n1", 6)
    assert cli("run", "--pipe", "--block", "100k", "true", stdin=NUMBERS * 5).returncode == 0


def test_a_block_is_read_by_nobody_else(cli: Cli, folder: Path) -> None:
    """What a job leaves in the background does not keep its block, nor its slot; the next job has its own stdin."""
    line = "sleep 600 & head -c1; echo"
    done = cli("run", "--shell", "--pipe", "-j1", "-k", "--block", "100k", line, stdin=NUMBERS * 3)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 6), done.stderr


def test_an_endless_input_is_read_as_jobs_are_taken(gnu: Cli, cli: Cli, folder: Path) -> None:
    """And no further: --halt ends it."""
    line = "yes | {} --pipe --block 100k --halt soon,done=3 'wc -c'"
    ours = subprocess.run(
        ["bash", "-c", line.format(f"{OURS} run --shell -j1")],
        capture_output=True,
        timeout=LIMIT,
        check=False,
        cwd=folder,
    )
    assert (ours.returncode, ours.stdout) == (0, b"100000\n" * 3), ours.stderr


@pytest.mark.parametrize("wait", [[], ["--wait"]])
def test_blocks_that_are_handed_in(cli: Cli, running: str, wait: list[str]) -> None:
    """`submit --pipe` reads all of stdin, and the jobs go on by themselves."""
    done = cli("submit", "--url", running, "--pipe", "--block", "50k", *wait, "wc", "-l", stdin=NUMBERS)
    assert done.returncode == 0, done.stderr
    if not wait:
        batch = done.stdout.decode().strip()
        done = cli("results", "--url", running, "--follow", batch)
    assert sum(map(int, done.stdout.split())) == 30_000


# ------------------------------------------------------------------------------------------- --delay, --nice, ...


@pytest.mark.parametrize("seconds", [0.05, 2])
def test_starts_are_a_delay_apart(gnu: Cli, cli: Cli, folder: Path, seconds: float) -> None:
    """At least, from the first on, whether jobs are short or long. (GNU parallel allows itself 8 ms.)"""
    for run, log in ((gnu, "theirs"), (partial(cli, "run"), "ours")):
        run("-j4", "--delay", "0.5", "--joblog", log, "sleep", ":::", *[str(seconds)] * 4)
        starts = sorted(float(line.split(b"\t")[2]) for line in (folder / log).read_bytes().splitlines()[1:])
        gaps = [after - before for before, after in pairwise(starts)]
        assert len(gaps) == 3
        assert min(gaps) > 0.4, (log, gaps)


@pytest.mark.parametrize(("niceness", "started_at"), [(None, 0), (5, 0), (19, 0), (30, 0), (3, 7)])
def test_niceness(folder: Path, niceness: int | None, started_at: int) -> None:
    """Of the command and what it starts; the next job's is its own."""
    option = "" if niceness is None else f"--nice {niceness}"
    line = "nice -n {} {} -j1 {} 'nice; nice; : '{{}} ::: a b"
    said = [
        subprocess.run(
            ["bash", "-c", line.format(started_at, program, option)],
            capture_output=True,
            timeout=LIMIT,
            check=True,
            cwd=folder,
            env=os.environ | {"HOME": str(folder), "PARALLEL_SHELL": os.environ.get("SHELL", "/bin/sh")},
        ).stdout
        for program in ("parallel --will-cite", f"{OURS} run --shell")
    ]
    assert said[0] == said[1]


def test_niceness_is_the_batchs_alone(cli: Cli, running: str) -> None:
    """The slots keep theirs: a worker that could not take it back would be slow ever after."""
    nice = [cli("run", "--url", running, *option, "--one", "nice").stdout for option in (["--nice", "15"], [])]
    assert nice == [b"15\n", b"%d\n" % os.nice(0)]


def test_no_job_starts_without_memory(folder: Path) -> None:
    """It is said, and Ctrl-C ends the waiting; with enough of it all run."""
    words = [sys.executable, "-m", "penstock", "run", "--memfree"]
    process = subprocess.Popen(
        [*words, "1000T", "touch", ":::", "ran"], cwd=folder, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stderr is not None
    with process, process.stderr as said:
        assert b"embedded" in said.readline()
        assert b"no job is started" in said.readline()
        process.send_signal(2)
        assert process.wait(LIMIT) == 130
    assert not (folder / "ran").exists()
    subprocess.run([*words, "1k", "--load", "1000", "touch", ":::", "ran"], cwd=folder, check=True, timeout=LIMIT)
    assert (folder / "ran").exists()


# ------------------------------------------------------------------------------------------- --resume by a joblog

RESUMED = {
    "more input": ["| echo {#} {} | a", "--resume | echo {#} {} | a b c", "--resume | echo {#} {} | a b c"],
    "failures": [
        "| exit | 0 3 0",
        "--resume | exit | 0 3 0 4",
        "--resume-failed | exit | 0 3 0 4 0",
        "--retry-failed ||",
        "--resume-failed | exit | 0 3 0 4 0",
    ],
    "repaired": [
        "| [ -e tried-{} ] || { touch tried-{}; false; } | a b",
        "--retry-failed ||",
        "--retry-failed ||",
        "--resume-failed | [ -e tried-{} ] || { touch tried-{}; false; } | a b c",
    ],
    "nothing yet": ["--resume | echo | a b", "--retry-failed ||"],
    "halted": [
        "--halt soon,fail=1 | exit | 0 1 0 1 0 0",
        "--resume --halt soon,fail=1 | exit | 0 1 0 1 0 0",
        "--resume-failed --halt soon,fail=2 | exit | 0 1 0 1 0 0",
    ],
    "counted": ["| exit | 0 0", "--resume --halt soon,success=4 | exit | 0 0 1 0 0 0 0"],
    "a share": ["| exit | 0 0", "--resume --halt soon,success=60% | exit | 0 0 1 0 0 0 0"],
    "in order": ["-k | echo {#} {.} | a.x", "-k --resume | echo {#} {.} | a.x b.y c.z"],
    "a slot in it": ["| echo {%} {} | a", "--resume | echo {%} {} | a b"],
    "several lines": ["| echo {}\nfalse | a\tb c", "--retry-failed ||", "--resume-failed | echo {}\nfalse | a\tb c d"],
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_joblog_is_gone_on_with(gnu: Cli, cli: Cli, folder: Path, name: str) -> None:
    """The same jobs are left out, numbers are those of the whole input, and the log is added to."""
    for line in RESUMED[name]:
        options, rest = line.split("|", 1)
        command, arguments = rest.rsplit("|", 1)
        given = [":::", *arguments.strip().split(" ")] if arguments else []
        words = ["-j1", *options.split(), *filter(None, [command.strip()]), *given]
        theirs, ours = folder / "in-theirs", folder / "in-ours"
        for place in (theirs, ours):
            place.mkdir(exist_ok=True)
        done = gnu("--wd", str(theirs), "--joblog", "theirs", *words)
        own = cli("run", "--cwd", str(ours), "--shell", "--joblog", "ours", *words)
        assert lines(folder / "ours") == lines(folder / "theirs"), (line, own.stderr, done.stderr)
        assert (own.stdout, own.returncode) == (done.stdout, min(1, done.returncode)), (line, own.stderr, done.stderr)


def test_a_torn_log_is_gone_on_with(cli: Cli, folder: Path) -> None:
    """The job of its last line runs again, and the log is whole. (GNU parallel writes into the torn line.)"""
    log = folder / "log"
    cli("run", "-k", "--joblog", "log", "echo", ":::", *"abc")
    log.write_bytes(log.read_bytes()[:-3])
    done = cli("run", "-k", "--resume", "--joblog", "log", "echo", ":::", *"abcd")
    assert done.stdout == b"c\nd\n", done.stderr
    assert [line[0] for line in lines(log)[1:]] == [b"1", b"2", b"3", b"4"]


def test_another_command_is_not_done(gnu: Cli, cli: Cli, folder: Path) -> None:
    """GNU parallel leaves it out, and warns in its manual that it may run wrong commands; here it runs, and is said."""
    for run in (gnu, partial(cli, "run")):
        run("--joblog", "log", "echo", ":::", "a", "b")
        done = run("-k", "--resume", "--joblog", "log", "printf", "%s.", ":::", "x", "b")
        assert done.stdout == (b"" if run is gnu else b"x.b.")
    assert b"job 1 was another command" in done.stderr


def test_each_reads_the_others_log(gnu: Cli, cli: Cli, folder: Path) -> None:
    """Whoever changes from one to the other goes on."""
    gnu("--joblog", "log", "echo", ":::", "a b", "c")
    assert cli("run", "-k", "--resume", "--joblog", "log", "echo", ":::", "a b", "c", "d").stdout == b"d\n"
    assert gnu("-k", "--resume", "--joblog", "log", "echo", ":::", "a b", "c", "d", "e").stdout == b"e\n"


def test_blocks_are_gone_on_with(gnu: Cli, cli: Cli, folder: Path) -> None:
    """Those of --pipe by their numbers."""
    for options, stop in (([], 6), (["--resume"], 12)):
        stdin = b"".join(b"%d\n" % number for number in range(stop))
        both(gnu, cli, folder, "-j1", "--pipe", "-N", "2", *options, "cat; : {#}", stdin=stdin)


@pytest.mark.parametrize("target", ["-", "/dev/stdout"])
def test_a_joblog_on_stdout(gnu: Cli, cli: Cli, folder: Path, target: str) -> None:
    """It comes behind what was there, each line behind what its job printed; nothing is overwritten."""
    expected = gnu("-k", "--joblog", "-", "echo", ":::", *"ab").stdout
    subprocess.run(
        ["bash", "-c", f"echo keep > f; {OURS} run -k --joblog {target} echo ::: a b >> f"],
        cwd=folder,
        check=True,
        timeout=LIMIT,
        capture_output=True,
    )
    rows = (folder / "f").read_bytes().splitlines()
    assert rows[0] == b"keep"
    assert [row.split(b"\t")[0] for row in rows[1:]] == [row.split(b"\t")[0] for row in expected.splitlines()]


def test_a_joblog_is_added_to(gnu: Cli, cli: Cli, folder: Path) -> None:
    """--joblog +FILE, without another head."""
    for run, log in ((gnu, "theirs"), (partial(cli, "run"), "ours")):
        for argument in "ab":
            run("--joblog", f"+{log}", "echo", ":::", argument)
    assert lines(folder / "ours") == lines(folder / "theirs")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resume"], b"its --joblog FILE"),
        (["--resume-failed", "--joblog", "-"], b"its --joblog FILE"),
        (["--retry-failed"], b"its --joblog FILE"),
        (["--retry-failed", "--resume", "--joblog", "log"], b"exclude each other"),
        (["--joblog", "/dev/full"], b"cannot write /dev/full: no space left"),
        (["--joblog", "log", "--resume"], b"log is not a joblog: its line 1 is 'not a log'"),
        (["--halt", "soon,fail=10%", "--pipe"], b"unknown with --pipe"),
        (["--url", "tcp://127.0.0.1:1", "--load", "2"], b"--limit N"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(
    cli: Cli, folder: Path, words: list[str], said: bytes
) -> None:
    """In one line, with exit code 2; no file is touched."""
    (folder / "log").write_text("not a log\n")
    given = [] if "--pipe" in words else [":::", "ran"]
    done = cli("run", *words, "touch", *given, stdin=b"x\n")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1), done.stderr
    assert said in done.stderr
    assert not (folder / "ran").exists()
    assert (folder / "log").read_text() == "not a log\n"
