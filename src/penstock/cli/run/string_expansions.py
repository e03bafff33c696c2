"""What a replacement string makes of an argument: the parts of a path, the forms that bash's parameters have, and the
substitutions of `--rpl`. Bytes in, bytes out."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial, reduce

from penstock.errors import ConfigError
from penstock.job.command import part_of

Change = Callable[[bytes], bytes]
"""Of an argument."""


def extension(count: int, argument: bytes) -> bytes:
    """The last `count` extensions; nothing if there are fewer."""
    match = re.search(rb"\.([^/.]*(?:\.[^/.]*){%d})\Z" % (count - 1), argument)
    return match[1] if match else b""


def without_extensions(count: int, argument: bytes) -> bytes:
    """Without the last `count`; as it is if there are fewer."""
    return re.sub(rb"(?:\.[^/.]*){%d}\Z" % count, b"", argument)


def base(change: Change, argument: bytes) -> bytes:
    """The change, of the base name."""
    return change(argument.rpartition(b"/")[2])


PATHS: dict[bytes, Change] = {inner: partial(part_of, part=inner or None) for inner in (b"", b".", b"/", b"//", b"/.")}
"""What stands between the braces, of the strings that are always there."""

PLUS: dict[bytes, Change] = {
    b"+/": lambda argument: argument.rpartition(b"/")[0],
    b"+.": lambda argument: argument.rpartition(b".")[2] if b"." in argument else b"",
    b"+..": partial(extension, 2),
    b"+...": partial(extension, 3),
    b"..": partial(without_extensions, 2),
    b"...": partial(without_extensions, 3),
    b"/..": partial(base, partial(without_extensions, 2)),
    b"/...": partial(base, partial(without_extensions, 3)),
}
"""Those of ``--plus`` that have a fixed name."""


# ------------------------------------------------------------------------------------------- as parameters of bash


def lazy(pattern: bytes) -> bytes:
    """The pattern with every quantifier made lazy, outside of escapes and classes."""

    def made(match: re.Match[bytes]) -> bytes:
        token = match[0]
        return token + b"?" if token in {b"*", b"+", b"}"} else token

    return re.sub(rb"\\.|\[[^\]]*\]|[*+}]\??|.", made, pattern, flags=re.DOTALL)


def without_prefix(pattern: re.Pattern[bytes], argument: bytes) -> bytes:
    """``{#x}`` ``{##x}``: the text without a beginning."""
    match = pattern.match(argument)
    return argument[match.end() :] if match else argument


def without_suffix(pattern: re.Pattern[bytes], argument: bytes) -> bytes:
    """``{%x}``: the text without the shortest end that fits."""
    match = pattern.fullmatch(argument)
    return match[1] if match else argument


def changed(pattern: re.Pattern[bytes], text: bytes, count: int, argument: bytes) -> bytes:
    """``{/x/text}``: the first `count`, 0: all."""
    return pattern.sub(lambda _: text, argument, count=count)


def in_case(pattern: re.Pattern[bytes], case: Change, count: int, argument: bytes) -> bytes:
    """``{^x}`` ``{^^x}`` ``{,x}`` ``{,,x}``"""
    return pattern.sub(lambda match: case(match[0]), argument, count=count)


def compiled(text: bytes, shown: bytes) -> re.Pattern[bytes]:
    """A regular expression that the user wrote in the replacement string `shown`. ConfigError: it is none."""
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise ConfigError(f"{shown.decode(errors='replace')}: {error}") from None


Made = Callable[[bytes, "re.Match[bytes]"], Change]


FORMS: dict[bytes, Made] = {
    rb":-([^}]+)": lambda _, m: lambda argument: m[1] if argument in {b"", b"0"} else argument,  # as Perl has it
    rb":(\d+)": lambda _, m: lambda argument: argument[int(m[1]) :],
    rb":(\d+):(\d+)": lambda _, m: lambda argument: argument[int(m[1]) : int(m[1]) + int(m[2])],
    rb"#([^#}][^}]*)": lambda all_, m: partial(without_prefix, compiled(lazy(m[1]), all_)),
    rb"##([^#}][^}]*)": lambda all_, m: partial(without_prefix, compiled(m[1], all_)),
    rb"%%([^}]+)": lambda all_, m: partial(changed, compiled(b"(?:%s)\\Z" % m[1], all_), b"", 1),
    rb"%([^%}][^}]*)": lambda all_, m: partial(without_suffix, compiled(b"(.*)(?:%s)" % lazy(m[1]), all_)),
    rb"/#([^}/]+)/([^}]*)": lambda all_, m: partial(changed, compiled(b"\\A(?:%s)" % m[1], all_), m[2], 1),
    rb"/%([^}/]+)/([^}]*)": lambda all_, m: partial(changed, compiled(b"(?:%s)\\Z" % m[1], all_), m[2], 1),
    rb"//([^}/]+)/([^}]*)": lambda all_, m: partial(changed, compiled(m[1], all_), m[2], 0),
    rb"/([^#%}/]+)/([^}]*)": lambda all_, m: partial(changed, compiled(m[1], all_), m[2], 1),
    rb"\^\^([^}]+)": lambda all_, m: partial(in_case, compiled(m[1], all_), bytes.upper, 0),
    rb"\^([^^}][^}]*)": lambda all_, m: partial(in_case, compiled(b"\\A(?:%s)" % m[1], all_), bytes.upper, 1),
    rb",,([^}]+)": lambda all_, m: partial(in_case, compiled(m[1], all_), bytes.lower, 0),
    rb",([^,}][^}]*)": lambda all_, m: partial(in_case, compiled(b"\\A(?:%s)" % m[1], all_), bytes.lower, 1),
}
"""Those of ``--plus`` that take a text, as bash's ``${name%text}`` does: what stands between the braces, and the change
that it names."""


def expansion(inner: bytes) -> Change | None:
    """The change of ``--plus`` that ``{inner}`` names. ConfigError: with a regular expression that is none."""
    if (fixed := PLUS.get(inner)) is not None:
        return fixed
    for pattern, make in FORMS.items():
        if match := re.fullmatch(pattern, inner, re.DOTALL):
            return make(b"{%s}" % inner, match)
    return None


# ------------------------------------------------------------------------------------------- --rpl

SUBSTITUTION = re.compile(
    r"\s*s(?P<by>[^\w\s])(?P<old>(?:\\.|(?!(?P=by)).)*)(?P=by)(?P<new>(?:\\.|(?!(?P=by)).)*)(?P=by)(?P<how>[gi]*)\s*(?:;|\Z)"
)
PERL_ONLY = re.compile(r"[$@](?![)|/\d]|\Z)|\\[QEUL]")
"""What Perl would put in."""


def substituted(pattern: re.Pattern[bytes], text: bytes, count: int, argument: bytes) -> bytes:
    """As `changed`, with ``$1`` in the text for a group."""

    def made(match: re.Match[bytes]) -> bytes:
        return re.sub(rb"\$(\d)|\\(.)", lambda name: _group(match, name), text)

    return pattern.sub(made, argument, count=count)


def _group(match: re.Match[bytes], name: re.Match[bytes]) -> bytes:
    if name[1] is None:
        return name[2]
    number = int(name[1])
    return (match[number] or b"") if number <= match.re.groups else b""


def substitutions(tag: str, code: str) -> Change:
    """What ``--rpl 'tag s/old/new/; s/old/new/g'`` does. ConfigError: it is more than substitutions."""
    changes: list[Change] = []
    at = 0
    while at < len(code):
        match = SUBSTITUTION.match(code, at)
        if match is None or PERL_ONLY.search(match["old"]) or PERL_ONLY.search(match["new"]):
            raise ConfigError(
                f"--rpl {tag}: there is no Perl here; write s/OLD/NEW/ or s/OLD/NEW/g (several with ; between them),"
                " or compute it with --shell"
            )
        pattern = compiled(match["old"].encode("utf-8", "surrogateescape"), tag.encode("utf-8", "surrogateescape"))
        if "i" in match["how"]:
            pattern = re.compile(pattern.pattern, pattern.flags | re.IGNORECASE)
        new = match["new"].encode("utf-8", "surrogateescape")
        changes.append(partial(substituted, pattern, new, 0 if "g" in match["how"] else 1))
        at = match.end()
    return lambda argument: reduce(lambda value, change: change(value), changes, argument)
