from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.run.arguments import InputSource, combined, grouped, linked, parse, pieces
from penstock.errors import ConfigError


def listed(*words: str, separator: bytes = b"\n") -> list[tuple[bytes, ...]]:
    sources = parse(words).sources
    return list(combined([one.items(separator) for one in sources], [one.linked for one in sources]))


def test_command_ends_at_the_first_mark() -> None:
    """Everything up to the first mark is the command's, options of its own included."""
    line = parse(["gzip", "-9", ":::", "a", "b"])
    assert line.command == ["gzip", "-9"]
    assert line.sources == [InputSource(words=["a", "b"])]


def test_without_marks_all_is_command() -> None:
    """A line without a mark names no source."""
    assert parse(["ls", "-l"]) == (["ls", "-l"], [])


def test_several_sources_are_combined_first_one_slowest() -> None:
    """`::: a b ::: 1 2` gives a1 a2 b1 b2."""
    assert listed("x", ":::", "a", "b", ":::", "1", "2") == [(b"a", b"1"), (b"a", b"2"), (b"b", b"1"), (b"b", b"2")]


def test_linked_source_goes_item_by_item_until_the_shorter_ends() -> None:
    """`:::+` pairs with the source before it."""
    assert listed(":::", "a", "b", "c", ":::+", "1", "2") == [(b"a", b"1"), (b"b", b"2")]


def test_linked_pair_is_combined_with_others() -> None:
    """A linked pair counts as one source."""
    assert listed(":::", "x", "y", ":::", "a", "b", ":::+", "1", "2") == [
        (b"x", b"a", b"1"),
        (b"x", b"b", b"2"),
        (b"y", b"a", b"1"),
        (b"y", b"b", b"2"),
    ]


def test_linked_source_without_another_is_refused() -> None:
    """`:::+` needs something to link to."""
    with pytest.raises(ConfigError, match="links to the input source before it"):
        parse(["x", ":::+", "a"])


def test_each_file_is_a_source_of_its_lines(tmp_path: Path) -> None:
    """`:::: F G` reads two sources; the last line needs no end."""
    (tmp_path / "f").write_bytes(b"a\nb b\n")
    (tmp_path / "g").write_bytes(b"1\n\n2")
    assert listed("::::", str(tmp_path / "f"), str(tmp_path / "g")) == [
        (b"a", b"1"),
        (b"a", b""),
        (b"a", b"2"),
        (b"b b", b"1"),
        (b"b b", b""),
        (b"b b", b"2"),
    ]


def test_files_of_options_come_before_marks() -> None:
    """`-a FILE` is the first source."""
    assert parse([":::", "a"], ["f"]).sources == [InputSource(file="f"), InputSource(words=["a"])]


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A file that cannot be read is an error before anything starts."""
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere: no such file"):
        listed("::::", str(tmp_path / "nowhere"))


def test_empty_source_means_no_jobs() -> None:
    """`:::` with nothing behind it is empty, alone and combined."""
    assert listed("x", ":::") == []
    assert listed("x", ":::", "a", ":::") == []


@given(st.binary().filter(lambda name: b"\0" not in name))
def test_words_become_the_bytes_they_came_from(name: bytes) -> None:
    """Any file name survives, whatever bytes are in it."""
    assert listed(":::", os.fsdecode(name)) == [(name,)]


@given(st.lists(st.binary().filter(lambda item: b"\0" not in item)), st.booleans())
def test_pieces_give_what_was_joined(items: list[bytes], closed: bool) -> None:
    """Items of any length come back, whether or not a separator ends the last one."""
    data = b"".join(item + b"\0" for item in items)
    if not closed and items and items[-1]:
        data = data[:-1]
    read, write = os.pipe()
    with open(write, "wb") as file:
        file.write(data[: 1 << 15])
    assert list(pieces(open(read, "rb"), b"\0")) == items  # noqa: SIM115 - closed by pieces


def test_grouped_arguments_fill_jobs() -> None:
    """`-n 2` puts two arguments into a job, and the rest into the last."""
    assert list(grouped(iter([(b"a",), (b"b",), (b"c",)]), 2)) == [(b"a", b"b"), (b"c",)]


def test_other_marks_can_be_named() -> None:
    """`--arg-sep ,,`: then `:::` is a word."""
    line = parse(["echo", ":::", ",,", "a", ",,+", "b", "//", "f"], arg_sep=",,", arg_file_sep="//")
    assert line.command == ["echo", ":::"]
    assert line.sources == [InputSource(words=["a"]), InputSource(words=["b"], linked=True), InputSource(file="f")]


def test_linked_sources_begin_again() -> None:
    """`--link` goes on to the end of the longest."""
    assert list(linked([iter([b"1", b"2", b"3"]), iter([b"a", b"b"])])) == [(b"1", b"a"), (b"2", b"b"), (b"3", b"a")]
