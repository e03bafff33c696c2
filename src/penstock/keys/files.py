"""Keys on disk: a key file is all that its holder needs; a key folder is what ventilator and sink let in.

::

    keys/                 0700, made by `penstock keys init`
      ventilator.key      the stations' own keys, with the lease key that both share
      sink.key
      admin.key           for whoever made the folder
      workers.key         for workers: many may share it
      NAME.key            to be handed to its holder; the copy here may then go
      peers.json          every key that was ever given out: name, role, public half, and whether it is revoked

No secret is in peers.json: a sink on another host needs a copy of it and of sink.key. A running station looks at it
several times a second, and the ventilator tells the sink what its own says.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from penstock.errors import ConfigError
from penstock.keys.roles import GIVEN, Peer, Role
from penstock.url import endpoints

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
READ_FLAGS = reduce(or_, (getattr(os, name, 0) for name in _FLAGS), os.O_RDONLY)
"""A file itself, not what it points to, and without waiting; as far as the system has flags for that."""
LIST_BYTES = 4 << 20
"""A list of keys that is larger takes no more: 20,000 keys, and those that were revoked stay on it for ever."""
FILE_BYTES = 2 * LIST_BYTES
"""No more is read of a key file or a list: to revoke all keys of a full list makes it longer."""
LEASE_KEY_BYTES = 32
"""Of the key with which tokens of leases are made: as strong as the rest."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""A key's name is a file's name and the beginning of its workers' names."""
Z85_KEY = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
"""A CURVE key, as text (rfc.zeromq.org/32)."""
LEASE_KEY = re.compile(r"([0-9a-f]{2})*")

LIST = "peers.json"
FILES = {Role.VENTILATOR: "ventilator.key", Role.SINK: "sink.key", Role.WORK: "workers.key", Role.ADMIN: "admin.key"}
"""What a folder given as ``--key`` means to each kind of process."""

T = TypeVar("T")

Pair = Callable[[], tuple[str, str]]
"""Makes a new (public, secret), in Z85."""


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one key's holder has. `ventilator` and `sink` are the public halves of the stations' keys; `lease_key` (hex;
    ``seal`` in the file) only they have."""

    role: Role
    name: str
    public: str
    secret: str
    ventilator: str
    sink: str
    url: str
    lease_key: str = msgspec.field(default="", name="seal")

    def __repr__(self) -> str:
        return f"<KeyFile {self.role} {self.name} {fingerprint(self.public)}>"

    def server(self, station: Role) -> str:
        """The public half of a station's key."""
        return self.ventilator if station is Role.VENTILATOR else self.sink


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key that was given out; times are wall clock."""

    name: str
    role: Role
    public: str
    created_time: float
    revoked_time: float | None = None


class Peers(NamedTuple):
    """Who is let in now, and which keys never will be again; by public half."""

    allowed: dict[str, Peer]
    revoked: frozenset[str]


def fingerprint(public: str) -> str:
    """As much of a public key as people compare."""
    return public[:8]


# --------------------------------------------------------------------------------------------------- reading


def load(path: str | os.PathLike[str], *roles: Role) -> KeyFile:
    """The key in a file, or in the file of a key folder that fits. ConfigError: it is not one, others can read it, or
    its role is none of these."""
    file = Path(path)
    if file.is_dir() and not file.is_symlink():
        file /= next(FILES[role] for role in roles if role in FILES)
    key = _decoded(file, _read(file), KeyFile)
    if not all(map(Z85_KEY.fullmatch, (key.public, key.secret, key.ventilator, key.sink))):
        raise ConfigError(f"{file} is no key file: a key in it is not 40 characters of Z85")
    if not NAME.fullmatch(key.name) or not LEASE_KEY.fullmatch(key.lease_key):
        raise ConfigError(f"{file} is no key file: the name or the seal in it cannot be one")
    if key.role not in roles:
        wanted = " or ".join(roles)
        raise ConfigError(f"{file} is a key for role {key.role}, and this needs one for {wanted}")
    endpoints(key.url)
    return key


def load_peers(folder: Path) -> Peers:
    """The list of keys. ConfigError: it is not one, or others can write it."""
    entries = _entries(folder)
    allowed = {one.public: Peer(one.name, one.role, one.public) for one in entries if one.revoked_time is None}
    return Peers(allowed, frozenset(one.public for one in entries if one.revoked_time is not None))


def _entries(folder: Path) -> list[Entry]:
    return _decoded(folder / LIST, _read(folder / LIST), list[Entry])


def _decoded(file: Path, data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:  # msgspec's own, and text that is none
        raise ConfigError(f"{file} is not what `penstock keys` makes: {str(error).lower()}") from None


def _read(file: Path) -> bytes:
    """The bytes of a file that is its owner's alone, and that owner is this process'."""
    try:
        fd = os.open(file, READ_FLAGS)
    except OSError as error:
        reason = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be read: {_reason(error)}"
        raise ConfigError(f"{file} {reason}; `penstock keys init` and `penstock keys new` make keys") from None
    with open(fd, "rb") as opened:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise ConfigError(f"{file} is no file")
        if sys.platform == "win32":  # which has other means, and lets only its owner into the user's folder
            return opened.read(FILE_BYTES)
        if about.st_uid != os.geteuid():
            raise ConfigError(f"{file} is not yours but of user {about.st_uid}: make a copy of your own")
        if stat.S_IMODE(about.st_mode) & 0o077:
            raise ConfigError(f"{file} can be read or written by others: chmod 600 {file}")
        parent = file.absolute().parent.stat()
        if parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX:
            raise ConfigError(f"{file.parent} can be changed by everybody: chmod 700 {file.parent}")
        return opened.read(FILE_BYTES)


# --------------------------------------------------------------------------------------------------- the folder


class KeyFolder:
    """The keys of one pipeline. `pair` makes a new key."""

    def __init__(self, path: Path, pair: Pair) -> None:
        self.path = path
        self._pair = pair

    def init(self, url: str) -> None:
        """Make the folder, the stations' keys, and one key each for an admin and for workers.

        ConfigError: there are keys already, or the URL is none.
        """
        endpoints(url)
        if not url.startswith("tcp://"):
            raise ConfigError(f"{url} needs no keys: who may enter the folder may use the pipeline")
        try:
            self.path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError(f"{self.path} cannot be made ({why}): name another folder with --keys") from None
        if stat.S_IMODE(self.path.stat().st_mode) & 0o077:
            raise ConfigError(f"{self.path} can be entered by others: chmod 700 {self.path}")
        with self._locked():
            if (self.path / FILES[Role.VENTILATOR]).exists():
                raise ConfigError(f"there are keys in {self.path} already: `penstock keys new` adds one")
            ventilator, sink, lease_key = self._pair(), self._pair(), secrets.token_hex(LEASE_KEY_BYTES)
            entries: list[Entry] = []
            for role, name, pair in (
                (Role.SINK, "sink", sink),
                (Role.ADMIN, "admin", self._pair()),
                (Role.WORK, "workers", self._pair()),
                (Role.VENTILATOR, "ventilator", ventilator),
            ):
                key = KeyFile(
                    role=role,
                    name=name,
                    public=pair[0],
                    secret=pair[1],
                    ventilator=ventilator[0],
                    sink=sink[0],
                    url=url,
                    lease_key=lease_key if role in {Role.VENTILATOR, Role.SINK} else "",
                )
                entries.append(_entry(key))
                self._write(LIST, entries)
                self._write(f"{name}.key", key)

    def new(self, role: Role, name: str) -> Path:
        """One more key; a second one of a name is let in beside the first. Returns its file.

        ConfigError: the name cannot be one, or is of another role; the list is full.
        """
        if role not in GIVEN or not NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot be a key's name: up to 64 letters, digits, dots, dashes")
        with self._locked():
            entries = _entries(self.path)
            for entry in entries:
                if entry.name == name and entry.role is not role:
                    raise ConfigError(f"{name} is a key for role {entry.role}: choose another name")
            if (self.path / LIST).stat().st_size > LIST_BYTES:
                raise ConfigError(
                    f"{self.path / LIST} is full, it has {len(entries)} keys with those that were revoked: make new"
                    " ones for the pipeline with `penstock keys init` in another folder"
                )
            public, secret = self._pair()
            own = load(self.path, Role.VENTILATOR)
            key = msgspec.structs.replace(own, role=role, name=name, public=public, secret=secret, lease_key="")
            self._write(LIST, [*entries, _entry(key)])
            return self._write(f"{name}.key", key)

    def revoke(self, name: str, *, old: bool = False) -> int:
        """Let the keys of this name in no more, with `old` all but the newest; returns how many.

        ConfigError: there are none, or it is a station's own.
        """
        with self._locked():
            entries = _entries(self.path)
            live = [one for one in entries if one.name == name and one.revoked_time is None]
            if not live:
                raise ConfigError(f"no key named {name} is let in: `penstock keys list` shows them")
            if live[0].role not in GIVEN:
                raise ConfigError(f"{name} is a station's own key: a new one is made by `penstock keys init` elsewhere")
            gone = {one.public for one in (live[:-1] if old else live)}
            now = time.time()
            revoked = [msgspec.structs.replace(one, revoked_time=now) if one.public in gone else one for one in entries]
            self._write(LIST, revoked)
            if not old:
                (self.path / f"{name}.key").unlink(missing_ok=True)
            return len(gone)

    @property
    def has_sink_elsewhere(self) -> bool:
        """Whether the sink is on another host than the ventilator, with a copy of the list."""
        at = endpoints(load(self.path, Role.VENTILATOR).url)
        return at.results.rpartition(":")[0] != at.desk.rpartition(":")[0]

    def entries(self) -> list[Entry]:
        """All that were ever given out, oldest first."""
        return _entries(self.path)

    def _write(self, name: str, value: KeyFile | list[Entry]) -> Path:
        """All of it or nothing, and at no moment readable by others."""
        file = self.path / name
        data = msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
        new = file.with_name(f".{file.name}.{os.getpid()}")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            with open(fd, "wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(fd)
            return new.rename(file)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"no keys in {self.path} ({_reason(error)}): `penstock keys init`") from None
        import fcntl  # noqa: PLC0415 - Windows has none, and clients there only read keys

        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _entry(key: KeyFile) -> Entry:
    return Entry(name=key.name, role=key.role, public=key.public, created_time=time.time())
