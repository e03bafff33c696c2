"""Whether a job has changed what later ones have of its process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from penstock.job.main_module import Stale
from penstock.slot import inherited_state
from penstock.slot.inherited_state import Inherited

JOB, OTHER = b"job", b"other"


@pytest.fixture
def inherited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inherited]:
    """Of this process, which is put right afterwards."""
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # changed by pytest in the midst of a test
    mask = os.umask(0o022)
    yield Inherited()
    os.umask(mask)


def change_umask() -> None:
    os.umask(0o077)


def change_path() -> None:
    os.environ["PATH"] += ":/nowhere"


@pytest.mark.parametrize(("change", "name"), [(change_umask, "its umask"), (change_path, "PATH")])
def test_what_is_changed_is_named(inherited: Inherited, change: Callable[[], None], name: str) -> None:
    """After each piece, or before another function's job if pieces follow fast."""
    inherited.admit(JOB, is_command=False)
    assert not inherited.has_worn()
    change()
    assert not inherited.has_worn(), "it was looked at just now"
    inherited.admit(JOB, is_command=False)
    with pytest.raises(Stale):
        inherited.admit(OTHER, is_command=False)
    assert inherited.changes == f"a job changed {name}"


def test_it_is_looked_at_after_a_piece(inherited: Inherited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while one function's pieces follow each other."""
    monkeypatch.setattr(inherited_state, "LOOK_INTERVAL", 0.0)
    assert not inherited.has_worn()
    change_umask()
    assert inherited.has_worn()


@pytest.mark.parametrize(("change", "others"), [(change_umask, False), (change_path, True)])
def test_what_loading_changes_is_the_functions_own(
    inherited: Inherited, change: Callable[[], None], others: bool
) -> None:
    """Of the kernel's no other function has it; of the environment, as a module leaves it, no command."""
    inherited.admit(JOB, is_command=False)
    change()
    inherited.accept(JOB)
    assert not inherited.has_worn()
    inherited.admit(JOB, is_command=False)
    if others:
        inherited.admit(OTHER, is_command=False)
    else:
        with pytest.raises(Stale):
            inherited.admit(OTHER, is_command=False)
    with pytest.raises(Stale):
        inherited.admit(OTHER, is_command=True)


@pytest.mark.parametrize("name", ["PENSTOCK_TEST_NEW", "OPENBLAS_NUM_THREADS"])
def test_what_libraries_set_keeps_commands_out_only(
    inherited: Inherited, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No call needs another process for it."""
    monkeypatch.setattr(inherited_state, "LOOK_INTERVAL", 0.0)
    monkeypatch.setenv(name, "3")
    assert not inherited.has_worn()
    inherited.admit(OTHER, is_command=False)
    with pytest.raises(Stale):
        inherited.admit(OTHER, is_command=True)


def test_who_patches_builtins_when_it_is_loaded_is_alone(inherited: Inherited, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other function runs in this process then, and what it wants is not taken away."""
    inherited.admit(JOB, is_command=False)
    monkeypatch.setattr("builtins.print", print_nothing)
    inherited.accept(JOB)
    assert inherited.put_right() == ""
    assert not inherited.has_worn()
    with pytest.raises(Stale):
        inherited.admit(OTHER, is_command=False)


def print_nothing(*_: object) -> None:
    """In the place of another one."""
