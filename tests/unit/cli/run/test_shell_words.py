"""What only a shell could have meant, and what other programs take as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from penstock.cli.run.shell_words import command_words, is_job, refuse_shell_words, shell_like
from penstock.errors import ConfigError

MISTAKES = r"""
echo hi '>' o
echo hi '>>' o_{}.txt
cat '<' {}
cat '<<<' {}
cat {} '|' wc
cd {} '&&' make
ls {} '||' true
sleep {} ';' echo x
sleep {}';' echo {}
echo {} '2>' err
echo {} '2>&1'
echo {} '>{}.txt'
cat '{}>{}.txt'
echo {} '&>log'
echo {} '&'
echo '(' {} ')'
gzip -c {} '>' {}.gz
wc -l '<' {}
base64 -d '<' {}
awk '{print $1}' {} '>' {}.out
find {} -name '*.log' '|' wc
grep x {} '>' y
echo '$HOME' {}
echo '$HOME/{}.txt'
echo '${X}'
echo '--out=$DIR/{}'
mv {} '$(basename {} .gz)'
echo '`date`'
ls '*'
rm '*.log'
rm 'dir/*.log'
ls '~/x'
ls '~'
ls 'a.tx?'
X=1 cmd {}
for x in {}
'no-such-program -v' {}
export A={}
"""

MEANT = r"""
grep 'a|b' {}
grep -e '*' {}
grep -c '>' {}
awk '{print $1}' {}
awk '$1' {}
awk -F '|' '$2' {}
sed 's/x*/y/' {}
sed -n '$p' {}
find {} -name '*.log'
find {} '(' -name '*.c' -o -name '*.h' ')' -exec rm '{}' ';'
python3 -c 'print(1); print(2)' {}
bash -c '$1' _ {}
cut -d '|' -f 1 {}
sort -t ';' {}
tr ';' ','
expr {} '*' 3
expr 1 '|' {}
test {} '>' b
jq '.[] | select(.x > 1)' {}
perl -ne 'print if /x/' {}
curl 'http://h/?a=1&b={}'
wget 'http://h/*.gz?x={}'
scp 'host:*.log' {}
tar cf x.tar --exclude '*.o' {}
nice -n 5 grep '>' {}
timeout 5 awk '$1' {}
echo 'hello $USER' 'a > b' 'it costs 5$' a=b {}
echo 'nomatch?' '[x]' '<html>' '->'
convert {} -resize '50%' x
xargs -d ';' {}
echo '{"a": 1}' {}
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a pattern finds something."""
    (tmp_path / "a.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", lines(MISTAKES))
def test_a_word_that_only_a_shell_can_have_meant_is_refused(here: Path, line: str) -> None:
    """Operators, variables, substitutions, patterns and homes, as words or with what they belong to."""
    with pytest.raises(ConfigError, match="add --shell"):
        refuse_shell_words(shlex.split(line))


@pytest.mark.parametrize("line", lines(MEANT))
def test_a_word_that_its_program_understands_is_not_refused(here: Path, line: str) -> None:
    """Scripts, patterns, separators and addresses, and what a shell would have left alone."""
    refuse_shell_words(shlex.split(line))


def test_the_way_out_is_in_the_message() -> None:
    """For who means just that."""
    with pytest.raises(ConfigError, match="--no-shell to pass it to the command as it is"):
        refuse_shell_words(["echo", ">"])


@pytest.mark.parametrize("word", ["grep x | wc", "echo {} > out", "a;b", "ls *.c", "cd ~"])
def test_lone_word_with_shell_signs_is_shell_like(word: str) -> None:
    """One word that only a shell could read is noticed."""
    assert shell_like([word])


@pytest.mark.parametrize("command", [["{}"], ["gzip"], ["{1}{2.}"], ["echo", "a b"], []])
def test_plain_commands_are_not_shell_like(command: list[str]) -> None:
    """Replacement strings and several words are fine."""
    assert not shell_like(command)


def test_program_with_a_blank_in_its_name_is_no_shell_line(tmp_path: Path) -> None:
    """A file that can be run is a program, whatever its name."""
    program = tmp_path / "my tool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    assert not shell_like([str(program)])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"echo 'a  b' \"c\" d\\ e \xff", (b"echo", b"a  b", b"c", b"d e", b"\xff")),
        (b"grep 'a|b' '|' f", (b"grep", b"a|b", b"|", b"f")),
        (b"echo '$HOME' '*.log' \\$HOME \\*", (b"echo", b"$HOME", b"*.log", b"$HOME", b"*")),
        (b'echo it\\\'s "a * b" [INFO]', (b"echo", b"it's", b"a * b", b"[INFO]")),
        (b"wget http://x/?a=1", (b"wget", b"http://x/?a=1")),
        (b"awk '{print $1}' f", (b"awk", b"{print $1}", b"f")),
        (b"echo 5% a@b x=y", (b"echo", b"5%", b"a@b", b"x=y")),
    ],
)
def test_input_line_is_cut_as_a_shell_would(line: bytes, words: tuple[bytes, ...]) -> None:
    """Quotation marks hold words together, and what they hold is an argument like any other; any bytes survive."""
    assert command_words(line, 1) == words


NEED_SHELL = r"""
a | b
a > b
a && b
(a)
echo a;
echo $HOME
echo "a $X"
echo `date`
echo "`x`"
echo $'x'
echo *.log
echo a.tx?
echo ~/x
echo {a,b}
echo {1..3}
X=1 y
cd /
echo a # c
"""


@pytest.mark.parametrize("line", lines(NEED_SHELL))
def test_input_line_that_needs_a_shell_is_refused(here: Path, line: str) -> None:
    """With its number."""
    with pytest.raises(ConfigError, match=r"^line 7, .*add --shell"):
        command_words(line.encode(), 7)


def test_unclosed_quotation_is_named() -> None:
    """A line with an open quotation mark is wrong use."""
    with pytest.raises(ConfigError, match=r"line 3, .*no closing quotation"):
        command_words(b"echo 'a", 3)


@pytest.mark.parametrize(("line", "is_one"), [(b"true", True), (b"  ", False), (b"# x", False), (b"  #x", False)])
def test_comments_and_empty_lines_are_no_jobs(line: bytes, is_one: bool) -> None:
    """As in a script."""
    assert is_job(line) is is_one
