"""The options of GNU parallel that are for reading input and for making commands of it, and every way of quoting,
through both programs: stdout, exit code and the commands in the joblog are the same."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Cli

LINES = r"""
-n2 echo x{}y ::: a b c
-n2 echo x{}y{1}z ::: a b c
-m echo x{}y ::: a b c
-X echo x{}y ::: a b c
-X echo x{}y{}z {#} ::: a b c
-n2 echo {1}-{2} {} ::: a b c
-X echo x{1}y ::: a b c
-X echo x{.}y ::: a.c b.d
-m echo x{/}y ::: a/b c/d
-n0 echo hi ::: a b
-n0 echo hi {} {#} ::: a b
-j2 -X echo ::: 1 2 3 4 5
-j3 -m echo ::: 1 2 3 4 5 6 7
-j3 --xargs echo ::: 1 2 3 4 5 6 7
-j3 -X -n2 echo ::: 1 2 3 4 5
-X -s 20 echo ::: aaa bbb ccc ddd eee fff
-j4 -s 10 echo ::: a b c d e f g
-s 12 echo ::: a b c d e f g
--shell -X "echo x{}y 'z'" {} ::: a b
-L2 echo x{}y ::: a b c
-I ,, echo ,, {} ,,. ::: a.b
-I @ echo x@y {.} ::: a.b
-I {foo} echo {foo} {foo.} ::: a.b
-I ,, echo {1} ,, {2.} {.} ::: a.b ::: c.d
--link echo {1} {2} ::: 1 2 3 ::: a b
--xapply echo {1} {2} {3} ::: 1 2 3 ::: a b :::+ X Y
--link echo ::: 1 2 3 :::: table
-C - --xapply echo {1} {2} {3} ::: 1-2 3-4 ::: a
-v echo {} ::: 'a b'
-t echo {} ::: a
-v --tag echo {} ::: a
-u --tag echo {} ::: a
-u -v echo ::: a
--lb -v echo ::: a
--linebuffer echo ::: a
--tagstring '{#}-{.}' echo {} ::: a.b
--tag-string 'x y' echo {} ::: a.b
--tag --tagstring z echo ::: a
--tagstring '{1}:{2}' --colsep , echo {3} ::: 1,2,3
--header : -C , echo {n}/{v.x} {n.} {x} {1} {v.x.} :::: table
--header : -C , --tag echo {n}/{v.x} :::: table
--header : echo {a} {b} ::: a 1 2 ::: b x
--header : echo ::: a 1 2
--header : echo {a b} ::: 'a b' 1 2
--header : -a tabs echo {v}
--header : -n2 echo {v} {1} {2} ::: v 1 2 3
--header : --dry-run -C , echo :::: table
--skip-first-line echo ::: a b c ::: x y
-E b echo ::: a b c
--arg-sep ,, echo ,, a b
--arg-file-sep // echo // table
-r echo x{}y ::: '' ' ' a
echo {foo} {x/} '{a: 1}' {print} ::: q.z
--er XX echo XX {.} ::: a.b
--bnr XX --dnr YY --bner ZZ --seqreplace SS --slotreplace TT echo XX YY ZZ SS TT ::: a/b.c
--rpl '{u} s/a/b/' echo {u} {1u} ::: aa
--rpl ',, s/a/b/g;s/b/c/' echo ,, ::: aa
--rpl '{x} ' echo {x} {1x} ::: a
--plus echo {1..} {2..} ::: a.b.c ::: d.e.f
--plus -I ,, echo {1..} ,, ::: a.b.c
--plus echo {##} ::: a b c
--plus echo {0#} ::: 1 2 3 4 5 6 7 8 9 10 11
--plus echo {:-x} ::: '' a 0
-X --plus echo {..} ::: a.b.c d.e.f
--plus echo {slot} {%} ::: a
--plus echo {%a}x{%}y ::: ba
--wd dd --shell 'basename $PWD; echo' ::: a
--workdir dd --shell 'basename $PWD; echo' ::: a
--max-args 2 echo ::: a b c
--max-args=2 echo ::: a b c
--maxargs=2 echo ::: a b c
-P 1 echo ::: a
--max-procs 1 echo ::: a
--no-notice --will-cite --gnu --plain --silent echo ::: a
-q echo '$HOME' '*' '>' x{} ::: 'a  b'
--quote -v echo x ::: a
--total-jobs 3 --compress echo ::: a
--keeporder --no-keep-order echo ::: a
"""
"""Options, and what they are given. With --shell where GNU parallel's shell is needed for the same meaning."""

READING = r"""
-L1 echo x{}y <<< a b \nc\nd\n
-L2 echo x{}y <<< a b \nc\n\nd\n
-L0 echo x <<< a\nb\n
--header : echo {v} {n} <<< n\tv\n1\t2\n
--skip-first-line echo <<< h\na\nb\n
-E stop echo x{}y <<< a b  \nstop\nc\n
-d , echo x{}y <<< a,b,c
-d '\t' echo x{}y <<< a\tb\tc\n
-d ';;' echo x{}y <<< a;;b;;c\n
--trim l echo x{}y <<<  a \n
--trim r echo x{}y <<<  a \n
--trim lr echo x{}y <<<  a \n
--trim n echo x{}y <<<  a \n
--trim n -C , echo x{1}y{2}z <<<  a , b \n
-r echo x{}y <<< \n\n
-r echo x{}y <<< a\n\n
"""
"""Behind <<< what is on stdin, as printf would print it."""

NO_JOBLOG = re.compile(r"slot|-d |--dry-run")
"""There GNU parallel notes a variable for the slot, and a blank for a newline."""

PLUS = shlex.split(
    "{+/} {+.} {+..} {+...} {..} {...} {/..} {/...} {:-str} {:2} {:2:3} {:0} {:-} '{#d.*.}' '{##d.*.}' {%.*d} {%%.*d}"
    " {/a/ZZ} {//./_} '{/#d/Q}' {/%d/Q} {^d} {^^d} {,D} {,,D} {^.} {^[a-d]} {1..} {1:2} {1%.d} {-1+/} {/b/}"
    " '{%[.][cd]}' '{#[^.]*}' '{/(.)[.]/$1-}' {} {/} {//} {/.} {.} {foo}"
)
PATHS = ["d.x/e/a.b.c.d", "e/x", "a b.c", ".hid", "D/DD.D", "0", "x.", "x.y.", "/r", "a/b/"]

QUOTED = ["a b", "it's", 'q"q', "$HOME", "\\back", "ünï", "", "-dash", "!x", "`x`", "*", "~", "{}", "#c", "a;b", "{1}"]
QUOTED += [
    "{.}",
    "tab\there",
    "(x)",
    "a&b",
    "a|b",
    "a>b",
    "a\\\\b",
    "'",
    '"',
    "$(x)",
    "%s",
    "\\n",
    "^x",
    "[x]",
    "a,b",
    " ",
]

BASH = r"""
f() { printf '<%s>' "$@"; echo; }; export -f f
g() { f "$1" | tr a-z A-Z; }; export -f g
"$@"
"""
"""Defines functions, exports them and runs a program."""


def split(line: str) -> tuple[list[str], bytes]:
    """The words, and stdin."""
    words, _, stdin = line.partition(" <<< ")
    return shlex.split(words), stdin.encode().decode("unicode_escape").encode("latin-1")


def commands(folder: Path) -> list[tuple[str, str, str, str]]:
    """Of the joblog: number, exit code, signal and command of each job, however it is quoted. Takes it away."""
    log = folder / "log"
    if not log.exists():
        return []
    rows = [line.split("\t") for line in log.read_text().splitlines()[1:]]
    log.unlink()
    return sorted((row[0], row[6], row[7], " ".join(shlex.split(row[8]))) for row in rows)


@pytest.fixture
def files(folder: Path) -> Path:
    """What the lines read."""
    (folder / "table").write_text("n,v.x\n1,a.b\n3,c.d\n")
    (folder / "tabs").write_text("n\tv\n1\tx y\n")
    (folder / "dd").mkdir()
    return folder


@pytest.mark.parametrize("line", [*LINES.strip().splitlines(), *READING.strip().splitlines()])
def test_options(theirs: Cli, ours: Cli, files: Path, line: str) -> None:
    """Output, exit code and joblog of each."""
    words, stdin = split(line)
    words = ["-k", *([] if NO_JOBLOG.search(line) else ["--joblog", "log"]), *words]
    expected = theirs(*(word for word in words if word != "--shell"), stdin=stdin)
    left = commands(files)
    done = ours(*([] if "-j" in line else ["-j1"]), *words, stdin=stdin)
    assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout), done.stderr
    assert left == commands(files)


@pytest.mark.parametrize("string", PLUS)
def test_plus(theirs: Cli, ours: Cli, string: str) -> None:
    """Each of its replacement strings, with a shell and without."""
    words = ["--plus", "-k", f'echo "["{string}"]"', ":::", *PATHS]
    expected = theirs(*words)
    assert ours("--shell", *words).stdout == expected.stdout
    words = ["--plus", "-k", "printf", "[%s]\\n", string, ":::", *PATHS]
    assert ours(*words).stdout == theirs("-q", *words).stdout


@pytest.mark.parametrize("options", [["--plus"], ["-X"], ["-m", "-n2"], ["-n1"], ["--header", ":"]])
def test_quoting(theirs: Cli, ours: Cli, options: list[str]) -> None:
    """Arguments arrive as they are, whichever way a command is made."""
    words = [*options, "-k", "printf", "<%s>", "{}", "x{}", ":::", *QUOTED]
    expected = theirs("-q", *words)
    done = ours("-j1", *words)
    assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout), done.stderr
    line = [*options, "-k", "printf '<%s>' {} x{}", ":::", *QUOTED]
    assert ours("-j1", "--shell", *line).stdout == theirs(*line).stdout


FUNCTIONS = [
    ["f", ":::", *QUOTED],
    ["f", "x{}", "{}", ":::", *QUOTED],
    ["-X", "f", ":::", "a", "b c"],
    ["--plus", "f", "{..}", "x", ":::", "a.b.c"],
    ["--env", "g", "--env", "f", "g", ":::", "a b", "c"],
    ["--tag", "--joblog", "log", "f", "{#}", ":::", "a b"],
    [":::", "f 'a b'", "f c"],
]


@pytest.mark.parametrize("url", [True, False])
@pytest.mark.parametrize("words", [*FUNCTIONS, ["--shell", "f {}; f x | cat", ":::", *QUOTED]])
def test_functions(folder: Path, running: str, words: list[str], url: bool) -> None:
    """A function of bash that is exported is a command, also for workers who do not have it in their environment, and
    whatever the user's shell is."""

    def output(*program: str) -> bytes:
        return subprocess.run(
            ["bash", "-c", BASH, "bash", *program],
            capture_output=True,
            cwd=folder,
            check=True,
            # GNU parallel looks for a shell among its ancestors, which there may be none of
            env=os.environ | {"HOME": str(folder), "SHELL": "/bin/sh", "PARALLEL_SHELL": "/bin/bash"},
        ).stdout

    expected = output("parallel", "--will-cite", "-k", *(word for word in words if word != "--shell"))
    left = commands(folder)
    assert (
        output(sys.executable, "-m", "penstock", "run", *(["--url", running] if url else []), "-k", *words) == expected
    )
    assert left == commands(folder)


@pytest.mark.parametrize("text", ["{foo} {a: 1} {a,b}", '{"a": 1}', "{print}", "x{y/}z", "}{", "{ }"])
def test_other_braces_are_text(theirs: Cli, ours: Cli, text: str) -> None:
    """As they are for GNU parallel."""
    words = ["-k", "echo", text, ":::", "a"]
    assert ours(*words).stdout == theirs("-q", *words).stdout


def test_results_are_named_by_the_header(theirs: Cli, ours: Cli, folder: Path) -> None:
    """The folders of --results."""
    words = ["--header", ":", "--results", "res", "echo", "{a}", "{b c}", ":::", "a", "1", "2", ":::", "b c", "x/y"]
    made = []
    for run in (theirs, ours):
        run(*words)
        made.append({str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("res/**/stdout"))})
        subprocess.run(["rm", "-r", str(folder / "res")], check=True)
    assert made[0] == made[1]
    assert len(made[0]) == 2


def test_shuffled(ours: Cli) -> None:
    """Everything once."""
    words = [str(number) for number in range(40)]
    done = ours("-k", "--shuf", "echo", ":::", *words).stdout.decode().split()
    assert done != words
    assert sorted(done) == sorted(words)
