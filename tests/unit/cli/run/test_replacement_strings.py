"""Which replacement strings there are, where they stand, and which are refused."""

from __future__ import annotations

import shlex

import pytest

from penstock.cli.run.composed_commands import Composer
from penstock.cli.run.replacement_strings import Naming, Place, Strings, refuse_unknown
from penstock.cli.run.string_expansions import lazy
from penstock.errors import ConfigError


def filled(naming: Naming, text: str, *arguments: bytes, names: tuple[bytes, ...] = ()) -> bytes:
    """A word with its places filled."""
    composer = Composer([text.encode()], Strings(naming, names), shell=False, repeats=False)
    return b" ".join(composer.compose(arguments, 7, 12))


PATH = b"d.x/e/a.b.c.d"


@pytest.mark.parametrize(
    ("text", "argument", "expected"),
    [
        ("{+/}", PATH, b"d.x/e"),
        ("{+/}", b"a", b""),
        ("{+.}", PATH, b"d"),
        ("{+..}", PATH, b"c.d"),
        ("{+...}", PATH, b"b.c.d"),
        ("{+..}", b"a.b", b""),
        ("{..}", PATH, b"d.x/e/a.b"),
        ("{...}", PATH, b"d.x/e/a"),
        ("{..}", b"d.x/a.b", b"d.x/a.b"),
        ("{/..}", PATH, b"a.b"),
        ("{/...}", PATH, b"a"),
        ("{##}", PATH, b"12"),
        ("{0#}", PATH, b"07"),
        ("{:-none}", b"", b"none"),
        ("{:-none}", b"0", b"none"),
        ("{:-none}", b"a", b"a"),
        ("{:2}", PATH, b"x/e/a.b.c.d"),
        ("{:2:3}", PATH, b"x/e"),
        ("{#d.*.}", PATH, b"x/e/a.b.c.d"),
        ("{##d.*.}", PATH, b""),
        ("{%.*d}", PATH, b"d.x/e/a.b.c."),
        ("{%%.*d}", PATH, b""),
        ("{%.d}", PATH, b"d.x/e/a.b.c"),
        ("{/a/ZZ}", PATH, b"d.x/e/ZZ.b.c.d"),
        ("{//[.x]/_}", PATH, b"d__/e/a_b_c_d"),
        ("{/#d/Q}", PATH, b"Q.x/e/a.b.c.d"),
        ("{/%d/Q}", PATH, b"d.x/e/a.b.c.Q"),
        ("{/(.)/$1$1}", b"ab", b"$1$1b"),
        ("{^d}", PATH, b"D.x/e/a.b.c.d"),
        ("{^^d}", PATH, b"D.x/e/a.b.c.D"),
        ("{,D}", b"DaD", b"daD"),
        ("{,,D}", b"DaD", b"dad"),
        ("{1..}", PATH, b"d.x/e/a.b"),
        ("{-1%.d}", PATH, b"d.x/e/a.b.c"),
        ("{foo} {0} { } {}", b"a", b"{foo} {0} { } a"),
    ],
)
def test_plus(text: str, argument: bytes, expected: bytes) -> None:
    """Each string of --plus, as GNU parallel fills it; what is none is text."""
    assert filled(Naming(plus=True), text, argument) == expected


@pytest.mark.parametrize(
    ("naming", "text", "expected"),
    [
        (Naming(replace=",,"), "{} ,,. {.} {1}", b"{} d/a.b. d/a {1}"),
        (Naming(replace="{x}"), "{x} {x.} {}", b"d/a.b {x.} {}"),
        (Naming(extensionreplace="EE", slotreplace="TT", seqreplace="SS"), "EE {.} SS {#}", b"d/a {.} 7 {#}"),
        (Naming(basenamereplace="B", dirnamereplace="D", basenameextensionreplace="X"), "B D X {/}", b"a.b d a {/}"),
        (Naming(rpl=("{u} s/a/b/",)), "{u} {1u}", b"d/b.b d/b.b"),
        (Naming(rpl=(",, s:.*/::; s/B/x/gi",)), ",,", b"a.x"),
        (Naming(rpl=("{s} s/(.)\\.(.)/$2.$1/",)), "{s}", b"d/b.a"),
        (Naming(rpl=("{n} ",)), "{n}", b"d/a.b"),
    ],
)
def test_other_names(naming: Naming, text: str, expected: bytes) -> None:
    """-I and its like, and strings of one's own; what they replace is text then."""
    assert filled(naming, text, b"d/a.b") == expected


@pytest.mark.parametrize("code", ["$_=lc", "s/a/b/e", "s/$x/y/", "uc", "s/a", "1 $_=seq()", "s/a/@x/"])
def test_a_string_of_ones_own_is_no_perl(code: str) -> None:
    """Only substitutions."""
    with pytest.raises(ConfigError, match=r"--rpl \{x\}: there is no Perl here"):
        Strings(Naming(rpl=(f"{{x}} {code}",)))


def test_columns_have_names() -> None:
    """--header: with the parts of a path; a name that is none is text."""
    names = (b"n", b"v.x", b"a b")
    text = "{n} {v.x} {v.x.} {v.x/} {a b} {m} {n..}"
    assert filled(Naming(), text, b"1", b"d/a.b", b"3", names=names) == b"1 d/a.b d/a a.b 3 {m} {n..}"


def test_a_brace_before_a_string_is_text() -> None:
    """It hides nothing."""
    pieces = Strings(Naming()).parse(b"{a{b{}c")
    assert [piece if isinstance(piece, bytes) else type(piece) for piece in pieces] == [b"{a{b", Place, b"c"]


@pytest.mark.parametrize(("pattern", "expected"), [(rb"a*b+", rb"a*?b+?"), (rb"[*]\*c*?", rb"[*]\*c*?")])
def test_lazy_patterns(pattern: bytes, expected: bytes) -> None:
    """Quantifiers only."""
    assert lazy(pattern) == expected


MISSING = shlex.split(
    "{2=x=} {..} {+/} {1..} x{..}.y {slot} {seq} {:5} {%.gz} '{#x}' '{##}' {/a/b} {host} {^x} '{0#}' {hostgroup} {,,x}"
)


@pytest.mark.parametrize("word", ["mv {} {%.gz}.bz2", '"{/a/b}"', "{= lc =}", "{=2 s/x// =}", "{-1+/}", *MISSING])
def test_what_gnu_parallel_would_replace_is_not_taken_for_text(word: str) -> None:
    """Perl, and what needs --plus: else it would be a file's name."""
    with pytest.raises(ConfigError, match=r"Perl|--plus|--no-plus"):
        refuse_unknown([word], Naming())


TEXTS = [
    "{foo}",
    "{print}",
    '{"a": 1}',
    "{}",
    "{a,b}",
    "{1..5}",
    "${x%.gz}",
    "${#x}",
    "a{,3}b",
    "a{2,3}",
    "{0}",
    "{ x }",
]


@pytest.mark.parametrize(
    "word", [*TEXTS, 'print("{:5}".format(1))', "%{http_code}", "awk {/x/{print}}", "sed {/a/d;p}", r"\{..}", "{x/}"]
)
def test_text_is_text(word: str) -> None:
    """What GNU parallel leaves alone, and what is another program's."""
    refuse_unknown([word], Naming())


def test_whoever_says_so_means_text() -> None:
    """--no-plus; and a string that has been given a name is one."""
    refuse_unknown(["{..}", "{slot}", "{%x}"], Naming(plus=False))
    refuse_unknown(["{..}"], Naming(replace="{..}"))
    refuse_unknown(["{..}"], Naming(plus=True))


def test_perl_over_several_words_is_perl() -> None:
    """GNU parallel joins the words first."""
    with pytest.raises(ConfigError, match=r"\{= uc =\}: there is no Perl"):
        refuse_unknown(["echo", "{=", "uc", "=}"], Naming())


@pytest.mark.parametrize("naming", [Naming(replace=""), Naming(rpl=("",)), Naming(rpl=(" s/a/b/",))])
def test_a_string_has_a_name(naming: Naming) -> None:
    """Nothing stands everywhere."""
    with pytest.raises(ConfigError, match="needs a name"):
        Strings(naming)
