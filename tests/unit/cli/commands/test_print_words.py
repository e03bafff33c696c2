"""Words of users in files that other programs read. tests/integration/test_printed.py asks systemd."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.commands.print_words import check_words, kubernetes_command, unit_command, unit_word, yaml_text
from penstock.errors import ConfigError


@given(st.text())
def test_a_text_in_yaml_is_read_as_what_it_was(text: str) -> None:
    """Line ends of all kinds, quotation marks, and letters that are two in JSON."""
    assert yaml.safe_load(f"a: {yaml_text(text)}\n") == {"a": text}


@given(st.lists(st.text()))
def test_a_command_in_a_manifest_is_read_as_what_it_was(words: list[str]) -> None:
    """Kubernetes makes one dollar of two, and a variable of one that stands before a parenthesis."""
    read = yaml.safe_load(kubernetes_command(words))
    assert [word.replace("$$", "$") for word in read] == words
    assert all("$(" not in word.replace("$$", "") for word in read)


@pytest.mark.parametrize("evil", ["a\nb", "a\r", "a\x1b", "a\u2028b", "\u202e", "\udcff", "\0"])
def test_what_cannot_be_seen_is_refused(evil: str) -> None:
    """In one line."""
    with pytest.raises(ConfigError) as raised:
        check_words("good", evil)
    assert str(raised.value).isprintable()


def test_words_in_a_unit_are_quoted_where_they_must_be() -> None:
    """And specifiers and variables are none."""
    assert unit_command(["/bin/x", "a b", "$x", "%h", "", ";", 'a"\\']) == r'''/bin/x "a b" $$x %%h "" ";" "a\"\\"'''
    assert unit_word("$x %h") == '"$x %%h"'
