"""What `doctor` says of a machine: each line can be ok, and wrong with what to do."""

from __future__ import annotations

import resource
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from penstock.cli.commands import doctor_machine


def test_a_module_that_cannot_be_imported_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the import's own last line, and for which Python it is missing is said."""
    fine, missing = doctor_machine.modules(("json", "no_such_module"))
    assert (fine.state, missing.state) == ("ok", "wrong")
    assert missing.said == f"ModuleNotFoundError: No module named 'no_such_module': install it for {sys.executable}"
    monkeypatch.setattr(doctor_machine, "IMPORT_TIME", 0.0)
    (slow,) = doctor_machine.modules(("json",))
    assert (slow.state, "does not end" in slow.said) == ("wrong", True)


@pytest.mark.parametrize(("free", "state"), [(1 << 20, "wrong"), (1 << 29, "warn"), (1 << 33, "ok")])
def test_a_full_disk_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: str) -> None:
    """The disk is the one on which the folder would be made."""
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    found = doctor_machine.disk(tmp_path / "not" / "there")
    assert (found.state, asked) == (state, [tmp_path])
    assert ("--data" in found.said) is (state == "wrong")


@pytest.mark.parametrize(
    ("hard", "state"), [(20, "wrong"), (256, "warn"), (4096, "ok"), (resource.RLIM_INFINITY, "ok")]
)
def test_too_few_files_are_wrong(monkeypatch: pytest.MonkeyPatch, hard: int, state: str) -> None:
    """What counts is the hard limit: stations take all of it."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, hard))
    found = doctor_machine.files()
    assert (found.state, "ulimit -Hn" in found.said) == (state, state in {"wrong", "warn"})


@pytest.mark.parametrize(
    ("inner", "outer", "state"),
    [
        (("max", "90"), ("100", "95"), "wrong"),
        (("95", "90"), ("max", "1000"), "wrong"),
        (("max", "90"), ("120", "90"), "warn"),
        (("max", "90"), ("max", "90"), "ok"),
        (("9000", "90"), ("max", "90"), "ok"),
    ],
)
@pytest.mark.parametrize("kind", ["", "pids"])
def test_too_few_processes_are_wrong(
    tmp_path: Path, inner: tuple[str, str], outer: tuple[str, str], state: str, kind: str
) -> None:
    """The narrowest of the groups around this process counts, in either version of control groups."""
    for path, (most, now) in (("a/b", inner), ("a", outer)):
        folder = tmp_path / "root" / kind / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pids.max").write_text(most)
        (folder / "pids.current").write_text(now)
    (tmp_path / "groups").write_text(f"3:cpu:/x\n0:{kind}:/a/b\n")
    found = doctor_machine.processes(tmp_path / "root", tmp_path / "groups")
    assert (found.state, "pids.max" in found.said) == (state, found.said != "no limit of a control group")


def test_no_control_groups_are_no_limit(tmp_path: Path) -> None:
    """Nothing to read, nothing wrong."""
    assert doctor_machine.processes(tmp_path, tmp_path / "none").state == "ok"
