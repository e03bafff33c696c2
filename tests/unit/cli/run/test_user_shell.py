"""The user's shell, and functions of bash."""

from __future__ import annotations

import shutil

import pytest

from penstock.cli.run import user_shell
from penstock.errors import ConfigError

HELLO, LS = "BASH_FUNC_hello%%", "BASH_FUNC_ls%%"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in user_shell.functions().values():
        monkeypatch.delenv(name)
    monkeypatch.setenv(HELLO, "() {  echo hello\n}")
    monkeypatch.setenv(LS, "() {  echo ls\n}")


def test_exported_functions_are_found() -> None:
    """By their names; older bashes call them otherwise."""
    assert user_shell.functions() == {"hello": HELLO, "ls": LS}
    assert user_shell.functions({"BASH_FUNC_a-b()": "() { :\n}", "PATH": "/bin"}) == {"a-b": "BASH_FUNC_a-b()"}


@pytest.mark.parametrize(
    ("path", "of_bash", "expected"),
    [
        ("/bin/sh", False, b"/bin/sh"),
        ("/usr/bin/bash", False, b"bash"),
        ("/no/such/zsh", False, b"/no/such/zsh"),
        ("/usr/bin/fish", False, b"/bin/sh"),
        ("/bin/tcsh", True, b"bash"),
        ("/bin/sh", True, b"bash"),
    ],
)
def test_the_shell_is_the_users(monkeypatch: pytest.MonkeyPatch, path: str, of_bash: bool, expected: bytes) -> None:
    """If it reads what sh reads; a function is for bash alone."""
    monkeypatch.setenv("SHELL", path)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "bash" else None)
    assert user_shell.shell(of_bash=of_bash) == expected


def test_a_function_is_called_by_bash_with_each_argument_as_it_is() -> None:
    """Unless a program has its name and nobody named it."""
    assert user_shell.with_bash(["hello", "{}"], [], is_line=False) == ("bash", "-c", 'hello "$@"', "hello", "{}")
    assert user_shell.with_bash(["ls", "{}"], [], is_line=False) == ["ls", "{}"]
    assert user_shell.with_bash(["ls", "{}"], ["ls"], is_line=False)[:2] == ("bash", "-c")
    assert user_shell.with_bash(["hello {}"], [], is_line=True) == ["hello {}"]


def test_the_text_of_a_function_travels_with_what_calls_it() -> None:
    """What the command names, what --env names, and all where commands are input."""
    hello = {HELLO.encode(): b"() {  echo hello\n}"}
    assert user_shell.environment(["hello", "ls"], [], is_line=False) == hello
    assert user_shell.environment(["x | hello; true"], [], is_line=True) == hello
    assert user_shell.environment(["x"], ["hello", "A=1"], is_line=False) == {**hello, b"A": b"1"}
    assert set(user_shell.environment([], [], is_line=True)) == {HELLO.encode(), LS.encode()}


def test_what_is_not_set_is_refused() -> None:
    """With how to set it; everything at once is asked for by name."""
    with pytest.raises(ConfigError, match="export -f nothing"):
        user_shell.variables("nothing")
    with pytest.raises(ConfigError, match="name each"):
        user_shell.variables("_")
