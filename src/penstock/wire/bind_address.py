"""Addresses: which may be bound, locks on ipc paths, and whose process listens on a tcp port."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path

from penstock.errors import ConfigError, NoAddress, Refused
from penstock.file_owner import stranger
from penstock.job.private_file import not_ours, open_private

FOLDER_MODE = 0o700
"""Who can enter the folder can talk to the sockets in it."""
WRITE_BY_OTHERS = 0o022


def to_bind(endpoint: str, *, guarded: bool) -> list[str]:
    """A tcp endpoint with its host's addresses, which are what may be bound. `guarded`: whoever comes must have a key,
    or the user said --insecure.

    Raises ConfigError: others can reach it and nothing guards it; a name with addresses on and off this machine.
    """
    host = endpoint.removeprefix("tcp://").rpartition(":")[0]
    addresses = [host] if is_numeric(host) else _resolved(host)
    near = {is_loopback(address) for address in addresses}
    if near == {True, False}:
        raise ConfigError(f"{host} is an address of this machine alone and one that others reach: bind one of them")
    if near == {False} and not guarded:
        raise ConfigError(
            f"{endpoint} can be reached from other machines, and whoever reaches it runs code here: make keys with "
            "`penstock keys init tcp://HOST:PORT` and say --key, or say --insecure in a network that you trust"
        )
    return [with_address(endpoint, address) for address in addresses]


def with_address(endpoint: str, address: str) -> str:
    """A tcp endpoint with this address in the place of its host."""
    port = endpoint.rpartition(":")[2]
    return f"tcp://[{address}]:{port}" if ":" in address and not address.startswith("[") else f"tcp://{address}:{port}"


def is_near(endpoint: str) -> bool:
    """Whether only this machine reaches a tcp endpoint that is bound."""
    try:
        to_bind(endpoint, guarded=False)
    except ConfigError:
        return False
    return True


def is_interface(host: str) -> bool:
    """Whether this is the name of an interface of this machine, which libzmq binds as well."""
    with contextlib.suppress(OSError):
        socket.if_nametoindex(host)
        return True
    return False


def is_numeric(host: str) -> bool:
    """Whether this is an address, or all of them, and no name."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.strip("[]"))
        return True
    return host == "*"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address.strip("[]").partition("%")[0]).is_loopback
    return False


def _resolved(host: str) -> list[str]:
    """The addresses of a name, IPv4 first; the name itself if it has none: it may be an interface's."""
    try:
        return addresses_of(host)
    except OSError:
        return [host]


def addresses_of(host: str) -> list[str]:
    """The addresses of a name, IPv4 first; this may take as long as the resolver does. Raises OSError: it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"no name: {error}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in sorted(found, key=lambda one: one[0] != socket.AF_INET)))


def check_owner(path: Path) -> None:
    """Before a process connects to this ipc socket, and whenever it has. A folder that is not there yet, and that
    others could make, is made: who waits for a station may come before it.

    Raises Refused: socket or folder are another user's, or others could put a socket there. They would be told all, and
    would say what workers run; root may do that anyway.
    """
    folder = path.parent
    place = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if place != folder and _others_may_write(place):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=FOLDER_MODE, parents=True)
    for one in (place, folder, path):
        if owner := stranger(one, trusts_root=True):
            raise Refused(
                f"ipc://{folder}: {one} belongs to the user {owner}, who could run code as you through it: use a folder"
                " of your own, or tcp with keys (`penstock keys init`)"
            )
    if _others_may_write(folder):
        raise Refused(
            f"ipc://{folder}: others may write into this folder, and could be taken for the stations: chmod 700 it"
        )


def _others_may_write(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # it is not there, or cannot be looked at: then not connected to either
        return bool(folder.stat().st_mode & WRITE_BY_OTHERS)
    return False


def hold(path: Path) -> int:
    """Lock an ipc path, in a folder of our own: libzmq lets a second process bind it, and steal it from the first.

    Returns the lock's file descriptor. Raises ConfigError: the folder is open to others, something in it is another
    user's, the path is in use.
    """
    import fcntl  # noqa: PLC0415 - Windows has none, and clients there bind nothing

    folder = path.parent
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.lock")
    if why := not_ours(folder) or not_ours(beside):
        raise ConfigError(why)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise ConfigError(f"{folder} can be entered by others: chmod 700 {folder}")
    lock = open_private(beside, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "another process"
        os.close(lock)
        raise ConfigError(f"ipc://{path} is in use by process {owner}: stop it or choose another folder") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def not_bound(why: str, at: list[str], port: int | None, number: int | None) -> ConfigError:
    """The error where a socket could not be bound at these endpoints, and `why`, by the number of that: it says who has
    the port, or that the address is not of this machine."""
    if number == errno.EADDRNOTAVAIL:
        return NoAddress(f"{why}: {', '.join(at)} is not of this machine; say one of its own, or tcp://*:PORT")
    if number == errno.ENODEV:
        return NoAddress(f"{why}: the name has no address, and is no interface's")
    return ConfigError(f"{why}{_listener(port)}" if number == errno.EADDRINUSE and port is not None else why)


def _listener(port: int) -> str:
    """Who listens on a tcp port, as far as this machine's tables tell, and what to do about it."""
    import psutil  # noqa: PLC0415 - only for the error

    with contextlib.suppress(psutil.Error):
        for entry in psutil.net_connections("tcp"):
            if entry.status == psutil.CONN_LISTEN and entry.laddr[1:] == (port,) and entry.pid:
                return f" (process {entry.pid}, {psutil.Process(entry.pid).name()}): stop it or choose another port"
    return ": stop what listens there or choose another port"
