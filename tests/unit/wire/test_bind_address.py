"""Which addresses may be bound without a key."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from penstock.errors import ConfigError, Refused
from penstock.wire.bind_address import check_owner, hold, to_bind

STRANGER = 54_321
"""The number of a user."""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "[::1]"])
def test_what_only_this_machine_reaches_needs_no_key(host: str) -> None:
    """Loopback, in either version of IP."""
    assert to_bind(f"tcp://{host}:5555", guarded=False) == [f"tcp://{host}:5555"]


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "[::]", "192.0.2.7", "[2001:db8::1]"])
def test_what_others_reach_needs_one(host: str) -> None:
    """The line says how to make keys; guarded it is bound."""
    with pytest.raises(ConfigError, match="penstock keys init"):
        to_bind(f"tcp://{host}:5555", guarded=False)
    assert to_bind(f"tcp://{host}:5555", guarded=True) == [f"tcp://{host}:5555"]


@pytest.mark.parametrize(
    ("addresses", "guarded", "bound"),
    [
        (["::1", "127.0.0.1"], False, "tcp://127.0.0.1:5555 tcp://[::1]:5555"),
        (["192.0.2.7"], True, "tcp://192.0.2.7:5555"),
        (["2001:db8::1"], True, "tcp://[2001:db8::1]:5555"),
        (["192.0.2.7"], False, None),
        (["127.0.0.1", "192.0.2.7"], False, None),
        (["127.0.0.1", "192.0.2.7"], True, None),
        ([], True, "tcp://eth0:5555"),
        ([], False, None),
    ],
)
def test_a_name_is_what_it_resolves_to(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], guarded: bool, bound: str | None
) -> None:
    """The address that was looked at is the one that is bound; a name that is both near and far is refused."""

    def resolve(*_: object, **__: object) -> list[object]:
        if not addresses:
            raise socket.gaierror("no such name")
        kinds = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(kinds[":" in one], socket.SOCK_STREAM, 6, "", (one, 0)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    if bound is None:
        with pytest.raises(ConfigError):
            to_bind("tcp://eth0:5555", guarded=guarded)
    else:
        assert to_bind("tcp://eth0:5555", guarded=guarded) == bound.split()


def test_a_folder_of_another_user_is_neither_used_nor_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner would be told all, and would say what a worker runs. Root could do that anyway."""
    check_owner(tmp_path / "not there yet" / "desk")
    assert list(tmp_path.iterdir()) == [], "nobody else can make it"
    os.close(hold(tmp_path / "own" / "desk"))
    check_owner(tmp_path / "own" / "desk")
    if os.geteuid() == 0:
        os.chown(tmp_path / "own", STRANGER, -1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: STRANGER)
    with pytest.raises(Refused, match=r"own belongs to the user \w+, who could run code as you"):
        check_owner(tmp_path / "own" / "desk")
    with pytest.raises(Refused, match=r"own belongs to the user \w+, who could run code as you"):
        check_owner(tmp_path / "own" / "not there yet" / "desk")
    with pytest.raises(ConfigError, match="is another user's: it belongs to"):
        hold(tmp_path / "own" / "jobs")
    monkeypatch.setattr("os.geteuid", lambda: STRANGER)
    check_owner(Path("/"))


def test_where_others_could_put_a_socket_none_is_used(tmp_path: Path) -> None:
    """A folder that they could make is made, so that nobody can any more; in one that is open to them a socket may be
    anybody's, and a socket of another user's is."""
    tmp_path.chmod(0o1777)
    check_owner(tmp_path / "sockets" / "desk")
    assert (tmp_path / "sockets").stat().st_mode & 0o777 == 0o700
    with pytest.raises(Refused, match="others may write into this folder"):
        check_owner(tmp_path / "desk")
    if os.geteuid() == 0:
        (tmp_path / "sockets" / "desk").touch()
        os.chown(tmp_path / "sockets" / "desk", STRANGER, -1)
        with pytest.raises(Refused, match=r"sockets/desk belongs to the user \w+, who could run code as you"):
            check_owner(tmp_path / "sockets" / "desk")


def test_a_folder_of_sockets_is_ones_own(tmp_path: Path) -> None:
    """Whoever may enter it may use the pipeline; and no link in it is followed to a file elsewhere."""
    folder = tmp_path / "sockets"
    os.close(hold(folder / "desk"))
    (tmp_path / "kept").write_text("kept")
    (folder / "jobs.lock").symlink_to(tmp_path / "kept")
    with pytest.raises(OSError, match="symbolic links"):
        hold(folder / "jobs")
    assert (tmp_path / "kept").read_text() == "kept"
    folder.chmod(0o710)
    with pytest.raises(ConfigError, match="can be entered by others: chmod 700"):
        hold(folder / "desk")
