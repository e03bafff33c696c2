"""Words that only a shell could have meant: they are refused where there is none, before anything runs.

A word of the command line has lost its quotation marks, so nobody knows whether ``'*.log'`` was to be expanded or is a
pattern for find. What can be nothing but a mistake is refused, and what some programs take as it stands (the script of
awk, the pattern of grep, the separator of cut) is not. In a line of a job file the marks are there, and are heeded.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
from collections.abc import Sequence

from penstock.errors import ConfigError

LONE_SIGNS = re.compile(r"[|&;<>()$`*?~\s]")
"""What makes a lone word a line for a shell."""
REPLACEMENTS = re.compile(r"\{[#%/.\d-]*\}")

OPERATOR = re.compile(
    r"[|&;]+|[<>|&]{2,3}|[()]"
    r"|\d*(?:>>|>\||>&|<&|<<-?|<<<|<>|[<>])(?![^<>]*[<>])\S*"
    r"|&>>?\S*"
    r"|[^\s'\"]*\{[^\s{}]*\}(?:;|(?:>>?|<)\S*)|[\w./-]+;"
)
"""A word that is an operator, alone or with what it belongs to: ``>out``, ``2>&1``, ``{};``, ``{}>{}.txt``."""
VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\d|\{[A-Za-z_]\w*[^{}]*\}|[@*#?!$])")
SUBSTITUTION = re.compile(r"\$\(.*\)|`[^`]+`", re.DOTALL)
PATH = re.compile(r"[\w./:=,@+%{}\"~-]*")
"""What stands beside a variable in a word that is a path or a name."""
BRACES = re.compile(r"(?<!\$)\{[^{}\s]*\}")
"""A replacement string, whatever is in it."""
PATTERN = re.compile(r"(?!-)[\w./~+@,%{}*?\[\]!^-]*\*[\w./~+@,%{}*?\[\]!^-]*")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
KEYWORDS = frozenset(
    shlex.split(
        ". [[ { ! : alias bg case cd declare do eval exec export fg for function if local popd pushd read return select"
        " set shift source trap type ulimit umask unalias unset until while"
    )
)
"""First words that are the shell's own."""

WRAPPERS = frozenset(shlex.split("chrt command env ionice nice nohup setsid stdbuf sudo taskset time timeout"))
"""Programs whose command is another one."""
OPERANDS = {
    **dict.fromkeys(("awk", "gawk", "mawk", "nawk", "sed", "gsed", "grep", "egrep", "fgrep", "zgrep", "rg", "ag"), 1),
    **dict.fromkeys(("jq", "yq", "xmllint", "perl"), 1),
    "tr": 2,
}
"""How many of their first operands are a script or a pattern."""
TAKES_ALL = frozenset({"expr", "test", "[", "let"})
"""Programs whose operands look like operators."""
OPTIONS = {
    **dict.fromkeys(("sh", "bash", "dash", "zsh", "ksh", "fish", "su", "python", "pypy"), "c"),
    **dict.fromkeys(("grep", "egrep", "fgrep", "zgrep", "rg", "sed", "gsed", "mysql", "ruby", "node"), "e"),
    **dict.fromkeys(("awk", "gawk", "mawk", "nawk"), "Fvef"),
    **dict.fromkeys(("cut", "paste", "xargs"), "d"),
    **dict.fromkeys(("sort", "join"), "t"),
    "column": "so",
    "perl": "eEF",
    "psql": "cF",
    "sqlite3": "s",
    "Rscript": "e",
    "nl": "sd",
}
"""Their options whose value is a script, a pattern or a separator."""
SCRIPTS = "ef"
"""Of these, those that give what is an operand else."""
FIND_VALUES = re.compile(r"-(?:i?name|i?path|i?wholename|i?regex|i?lname|printf|fprintf|newer\w*|exec|ok|execdir)")
FIND_WORDS = frozenset({"(", ")", ";", "!", ",", "+", "{}"})
GLOB_VALUES = re.compile(r"--?(?:in|ex)clude(?:-dir|-from)?|--?(?:i?glob|pattern|filter|wildcards|name|match|g)")
"""Options, of any program, whose value is a pattern."""

QUOTED = re.compile(r"""\\.|'[^']*'|"((?:\\.|[^"\\])*)\"""", re.DOTALL)
RAW_WORD = re.compile(r"""(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s'"\\|&;<>()])+|[|&;<>()]+""", re.DOTALL)
"""A word of a line with its quotation marks, or a run of a shell's signs."""
SAFE_LINE = re.compile(rb"[\w./:=,@+%^-][\w./:=,@+%^ \t-]*")
"""A line in which nothing has to be looked for."""


def shell_like(command: Sequence[str]) -> bool:
    """Whether the command is one word that only a shell could make sense of."""
    if len(command) != 1 or shutil.which(command[0]):
        return False
    return LONE_SIGNS.search(REPLACEMENTS.sub("", command[0])) is not None


def refuse_shell_words(command: Sequence[str]) -> None:
    """ConfigError: a word of the command that no program was meant to see."""
    if not command:
        return
    if shell_like(command) or (re.search(r"\s", command[0]) and not shutil.which(command[0])):
        raise ConfigError(f"{command[0]!r} looks like a shell line: add --shell")
    if not shutil.which(command[0]) and (command[0] in KEYWORDS or ASSIGNMENT.fullmatch(command[0])):
        what = "a word of the shell" if command[0] in KEYWORDS else "an assignment (or --env)"
        raise ConfigError(f"{command[0]!r} is {what}, not a program: add --shell")
    meant = _meant(command)
    for place, word in enumerate(command):
        if place not in meant and (why := _sign(word, command[place - 1] if place else "")):
            raise ConfigError(
                f"{word!r} is {why}, but there is no shell: add --shell (or --no-shell to pass it to the command"
                " as it is)"
            )


def _sign(word: str, before: str) -> str:
    """What a shell would have made of it; nothing if it would have been left as it is."""
    word = BRACES.sub("{}", word)
    if OPERATOR.fullmatch(word):
        return "an operator of the shell"
    if SUBSTITUTION.search(word):
        return "a command substitution"
    if VARIABLE.search(word) and PATH.fullmatch(VARIABLE.sub("", word)):
        return "a variable"
    if word == "~" or word.startswith("~/"):
        return "a home folder"
    if "://" in word or GLOB_VALUES.fullmatch(before):
        return ""
    return "a pattern for file names" if PATTERN.fullmatch(word) or _matches(word) else ""


def _matches(word: str) -> bool:
    """Whether a shell would have put file names here; what matches none it leaves alone."""
    return not word.startswith("-") and glob.has_magic(word) and bool(glob.glob(word))


def _meant(command: Sequence[str]) -> set[int]:
    """The places of words that their program takes for what they are."""
    at = _program(command)
    name = os.path.basename(command[at]) if at < len(command) else ""
    name = re.sub(r"[\d.]+$", "", name) or name
    if name in TAKES_ALL:
        return set(range(at, len(command)))
    if name == "find":
        return {
            place
            for place in range(at + 1, len(command))
            if command[place] in FIND_WORDS or FIND_VALUES.fullmatch(command[place - 1])
        }
    return {at} | _values(command, at, OPTIONS.get(name, ""), OPERANDS.get(name, 0))


def _values(command: Sequence[str], at: int, letters: str, operands: int) -> set[int]:
    meant: set[int] = set()
    option = ""
    for place in range(at + 1, len(command)):
        word = command[place]
        if option:
            meant.add(place)
            operands = 0 if option in SCRIPTS else operands
        elif operands and not word.startswith("-"):
            meant.add(place)
            operands -= 1
        is_option = not option and letters and re.fullmatch(rf"-\w*[{letters}]", word)
        option = word[-1] if is_option else ""
    return meant


def _program(command: Sequence[str]) -> int:
    """Where the program stands that the others only start."""
    at = 0
    while at < len(command) and os.path.basename(command[at]) in WRAPPERS:
        at += 1
        while at < len(command) and re.fullmatch(r"-.*|\d+(?:\.\d+)?[smhd]?|[A-Za-z_]\w*=.*", command[at]):
            at += 1
    return at


# ------------------------------------------------------------------------------------------- lines of a job file


def is_job(line: bytes) -> bool:
    """Whether a line is a command: it is not empty, and no comment."""
    stripped = line.strip()
    return bool(stripped) and not stripped.startswith(b"#")


def command_words(line: bytes, number: int) -> tuple[bytes, ...]:
    """An input line as a command without a shell. ConfigError: it needs one, or a quotation mark is missing."""
    if SAFE_LINE.fullmatch(line) and b"=" not in line.split(maxsplit=1)[0]:
        words = line.split()
        if os.fsdecode(words[0]) not in KEYWORDS:
            return tuple(words)
    text = os.fsdecode(line)
    try:
        words = [os.fsencode(word) for word in shlex.split(text)]
    except ValueError as error:
        raise ConfigError(f"line {number}, {text!r}: {str(error).lower()}") from None
    if why := _line_sign(RAW_WORD.findall(text)):
        raise ConfigError(f"line {number}, {text!r}, looks like a shell line ({why}): add --shell")
    return tuple(words)


def _line_sign(raw: Sequence[str]) -> str:
    if raw and (raw[0] in KEYWORDS or ASSIGNMENT.fullmatch(raw[0])):
        return raw[0]
    for word in raw:
        if re.fullmatch(r"[|&;<>()]+", word):
            return word
        bare = QUOTED.sub(lambda match: "'" if match[1] is None else match[1], word)
        if found := re.search(r"\$[\w{(@*#?!$'\"]|`", bare):
            return found[0]
        bare = QUOTED.sub("", word)
        if bare.startswith(("~", "#")) or re.search(r"\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}", bare):
            return word
        if "://" not in bare and ("*" in bare or (glob.has_magic(bare) and glob.glob(bare))):
            return word
    return ""
