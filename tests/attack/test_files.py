"""Files that somebody else has made: key files, folders for results and for data, and modules that come with a job."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import Show
from penstock import Pipeline
from penstock.errors import ConfigError, PenstockError
from penstock.job import shipped_modules
from penstock.job.bundle import Bundle
from penstock.job.payload import chunk_blob
from penstock.job.shipped_modules import FileStat, Module
from penstock.job.spec import BatchSpec, new_batch_id
from penstock.version import VERSION
from penstock.wire.desk_messages import Accepted, BatchClose, BatchOpen, ChunkHead, Program, Submit, VentilatorToClient
from penstock.wire.frames import Decoder
from support.attack_scene import LIMITS, Attack, Attacks, Scene, assert_harmless
from support.keyed_pipeline import door, knock_at
from support.stations import LIMIT, free_url

ATTACKS = Attacks()
STRANGER = 12345
"""A user whom nobody knows."""
LINE_CHARS = 500
"""Of an error, whatever it is about."""

# ------------------------------------------------------------------------------------------ key files

Spoil = Callable[[Path], object]


def spoiled(**fields: object) -> Spoil:
    """Other values of these fields."""
    return lambda path: path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))


def replaced(data: bytes) -> Spoil:
    """Something else."""
    return lambda path: path.write_bytes(data)


def elsewhere(path: Path) -> None:
    """It is moved away, and a link leads there."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def folder_of_links(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "admin.key").symlink_to("/etc/shadow")


KEY_FILES: dict[str, Spoil] = {
    "a symbolic link to a good one": elsewhere,
    "a pipe that nobody writes": pipe,
    "a folder with links to files of others": folder_of_links,
    "one that others can read": lambda path: path.chmod(0o644),
    "one that others can write": lambda path: path.chmod(0o620),
    "one in a folder that everybody can change": lambda path: path.parent.chmod(0o777),
    "one of 1 TB": lambda path: os.truncate(path, 1 << 40),
    "nothing": replaced(b""),
    "bytes that are no text": replaced(bytes(range(256))),
    "msgpack": lambda path: path.write_bytes(msgspec.msgpack.encode(json.loads(path.read_bytes()))),
    "TOML": replaced(b'role = "admin"\n'),
    "arrays in arrays, 100,000 deep": replaced(b"[" * 100_000),
    "terminal escapes": replaced(b"\x1b[2J\x1b]0;x\x07"),
    "one more field": spoiled(more=1),
    "a role that is none": spoiled(role="root\x1b[2J"),
    "the role of a worker": spoiled(role="work"),
    "the role of the ventilator": spoiled(role="ventilator"),
    "a URL with a line end": spoiled(url="tcp://head:5555\n#SBATCH --wrap=x"),
    "a URL with a user": spoiled(url="tcp://root@head:5555"),
    "a URL with an escape": spoiled(url="tcp://\x1b[2J:5555"),
    "a URL of a program": spoiled(url="ssh://-oProxyCommand=x:5555"),
    "a name with a line end": spoiled(name="alice\nroot"),
    "a name with a slash": spoiled(name="alice/w1"),
    "a key of other characters": spoiled(secret="\x1b" * 40),
    "a key that is a command": spoiled(public="'; reboot #" + "0" * 29),
    "a seal that is none": spoiled(seal="'; reboot #"),
}
if os.geteuid() == 0:
    KEY_FILES["one of another user"] = lambda path: os.chown(path, STRANGER, -1)


def used(scene: Scene, spoil: Spoil) -> str:
    """What a client says that is given such a file in place of alice's."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "keys", "a.key")
        path.parent.mkdir(mode=0o700)
        path.write_bytes((scene.keys.path / "alice.key").read_bytes())
        path.chmod(0o600)
        spoil(path)
        try:
            with Pipeline(key=path) as pipeline:
                return f"taken: {pipeline.status()}"
        except ConfigError as error:
            said = str(error)
    return "refused in a line" if said.isprintable() and len(said) < LINE_CHARS else said


for what, spoil in KEY_FILES.items():
    ATTACKS.append(Attack("a key file", f"is {what}", "refused in a line", partial(used, spoil=spoil)))


def claims_to_be(scene: Scene, who: str, fields: dict[str, str]) -> str:
    """Whether somebody whose own key file says more of them can end what alice has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.key")
        path.write_bytes((scene.keys.path / f"{who}.key").read_bytes())
        path.chmod(0o600)
        path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))
        try:
            with Pipeline(key=path) as pipeline:
                pipeline.cancel(scene.running.id)
        except PenstockError as error:
            return type(error).__name__
    return "it is done"


for who, fields in (("bob", {"role": "admin"}), ("bob", {"name": "alice"}), ("watch", {"role": "admin"})):
    attack = partial(claims_to_be, who=who, fields=fields)
    ATTACKS.append(Attack(who, f"writes {fields} into its own key file, and cancels alice's", "Refused", attack))


@ATTACKS.add("submit", "kept out")
def public_half(scene: Scene) -> str:
    """has the public half of the admin's key in its key file."""
    key = msgspec.structs.replace(scene.key("bob"), public=scene.key("admin").public)
    return "let in" if "let in" in knock_at(scene.url, ["desk", "results"], key) else "kept out"


# ------------------------------------------------------------------------------------------ folders


def penstock(*words: str, cwd: str) -> subprocess.CompletedProcess[str]:
    """The command, as people use it."""
    command = [sys.executable, "-m", "penstock", *words]
    return subprocess.run(
        command, check=False, cwd=cwd, text=True, capture_output=True, timeout=LIMIT, stdin=subprocess.DEVNULL
    )


def in_one_line(done: subprocess.CompletedProcess[str], words: str) -> bool:
    """Whether it has failed and said so."""
    lines = [line for line in done.stderr.splitlines() if words in line]
    return done.returncode != 0 and len(lines) == 1 and lines[0].isprintable() and "Traceback" not in done.stderr


def run_with_results(scene: Scene, inputs: tuple[str, ...], prepare: Callable[[Path], None]) -> str:
    """A run of alice's in a folder that others have prepared, beside one with something to lose."""
    with tempfile.TemporaryDirectory() as place:
        results, lost = Path(place, "results"), Path(place, "lost")
        results.mkdir()
        lost.mkdir()
        (lost / "file").write_text("kept")
        prepare(results)
        key = str(scene.keys.path / "alice.key")
        done = penstock("run", "--key", key, "--results", str(results), "echo", ":::", *inputs, cwd=place)
        outside = sorted(path.name for path in Path(place).rglob("*") if not path.is_relative_to(results))
        if outside != ["file", "lost"] or (lost / "file").read_text() != "kept":
            return f"outside there is {outside}"
        if done.returncode == 0 and len([path for path in results.rglob("stdout") if path.is_file()]) == len(inputs):
            return "written below DIR"
        return "refused in a line" if in_one_line(done, "cannot write to") else done.stderr


def linked(results: Path, link: str, to: str) -> None:
    """A link in the folder."""
    (results / link).parent.mkdir(parents=True, exist_ok=True)
    (results / link).symlink_to(results.parent / to)


def piped(results: Path) -> None:
    """A pipe that nobody reads."""
    (results / "1" / "x").mkdir(parents=True)
    os.mkfifo(results / "1" / "x" / "stdout")


INPUTS = (
    "../lost",
    "..",
    ".",
    "/etc/passwd",
    "../lost/file",
    "a/../../lost/file",
    "",
    "stdout",
    "\\",
    "\x1b[2J",
    "a\nb",
)
PREPARED: dict[str, tuple[tuple[str, ...], Callable[[Path], None], str]] = {
    "nothing, and inputs are paths out of it": (INPUTS, lambda _: None, "written below DIR"),
    "a pipe in the place of a file": (("x",), piped, "refused in a line"),
} | {
    f"a link in the place of {link}": (("x",), partial(linked, link=link, to=to), "refused in a line")
    for link, to in (("1", "lost"), ("1/x", "lost"), ("1/x/stdout", "lost/file"))
}
for what, (inputs, prepare, right) in PREPARED.items():
    attack = partial(run_with_results, inputs=inputs, prepare=prepare)
    ATTACKS.append(Attack("a folder of results", f"has {what}", right, attack))


def started_on(_: Scene, station: str, prepare: Callable[[Path], None]) -> str:
    """Whether a station starts on a data folder that a stranger has prepared."""
    with tempfile.TemporaryDirectory() as place:
        data = Path(place, "data")
        prepare(data)
        done = penstock(station, "--bind", free_url(), "--data", str(data), cwd=place)
        files = [path.name for path in Path(place).rglob("*.*")]
        return "refused in a line" if in_one_line(done, str(data)) and not files else f"{files}, {done.stderr}"


def folder_of_stranger(data: Path) -> None:
    data.mkdir(mode=0o700)
    os.chown(data, STRANGER, -1)


def link_of_stranger(data: Path) -> None:
    (data.parent / "own").mkdir(mode=0o700)
    data.symlink_to("own")
    os.chown(data, STRANGER, -1, follow_symlinks=False)


def link_to_stranger(data: Path) -> None:
    folder_of_stranger(data.parent / "theirs")
    data.symlink_to("theirs")


DATA: dict[str, Callable[[Path], None]] = {
    "another user's link to one's own": link_of_stranger,
    "a link to another user's": link_to_stranger,
}
for (what, prepare), station in zip(DATA.items(), ("ventilator", "sink"), strict=True):
    if os.geteuid() == 0:
        attack = partial(started_on, station=station, prepare=prepare)
        ATTACKS.append(Attack("a data folder", f"is {what} ({station})", "refused in a line", attack))


# ------------------------------------------------------------------------------------------ modules that come along


PACKED = shipped_modules.pack


def bomb() -> bytes:
    """3 GB of zeros, in 3 MB."""
    engine = zlib.compressobj(9)
    head = engine.compress(bytes(16 << 20)) + engine.flush(zlib.Z_FULL_FLUSH)
    return head + (engine.compress(bytes(16 << 20)) + engine.flush(zlib.Z_FULL_FLUSH)) * 200


def module(name: str = "own", **fields: Any) -> Module:
    """As a client sends one."""
    content = [(f"{name}.py", b"raise SystemError('it was imported')")]
    made = Module(name, os.urandom(16), ("/not/here",), PACKED([FileStat(f"{name}.py", 1, 1)]), PACKED(content))
    return msgspec.structs.replace(made, **fields)


def with_file(path: str) -> Module:
    """One with a file that is to lie there."""
    return module(content=PACKED([("own.py", b""), (path, b"#")]))


MODULES: dict[str, tuple[Callable[[Path], Module], str]] = {
    "a file with an absolute name": (lambda place: with_file(str(place / "out")), "it alone fails"),
    "a file above its folder": (lambda place: with_file(f"..{'/..' * 20}{place}/out"), "it alone fails"),
    "a file above its folder, by a detour": (lambda place: with_file(f"a/b{'/..' * 20}{place}/out"), "it alone fails"),
    "a file whose name has a NUL": (lambda _: with_file("a\0b"), "it alone fails"),
    "a file without a name": (lambda _: with_file(""), "it alone fails"),
    "a file below another file": (lambda _: with_file("own.py/below"), "it alone fails"),
    "a file whose name is too long": (lambda _: with_file("a" * 300), "it alone fails"),
    "no archive": (lambda _: module(content=b"no zlib"), "it alone fails"),
    "an archive that is cut off": (lambda _: module(content=PACKED([("own.py", bytes(9))])[:-4]), "it alone fails"),
    "an archive of 3 GB": (lambda _: module(content=bomb()), "it alone fails"),
    "3 GB of what is known of its files": (lambda _: module(files=bomb()), "it alone fails"),
    "arrays in arrays, 100,000 deep": (lambda _: module(content=zlib.compress(b"\x91" * 100_000)), "it alone fails"),
    "the name of penstock": (lambda _: module("penstock"), "it alone fails"),
    "the name of a builtin module": (lambda _: module("sys"), "it alone fails"),
    "a digest of nothing": (lambda _: module(digest=b""), "it alone fails"),
    "the name of a standard module": (lambda _: module("json"), "its own affair"),
    "another size than it has": (lambda _: module(files=PACKED([FileStat("own.py", 2**62, 0)])), "its own affair"),
    "files of the system for its own": (
        lambda _: module(roots=("/etc",), files=PACKED([FileStat("passwd", *_about("/etc/passwd"))])),
        "its own affair",
    ),
}


def _about(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def ran(scene: Scene, make: Callable[[Path], Module]) -> str:
    """What a job comes to with which this module came along."""
    with tempfile.TemporaryDirectory() as place:
        code = Bundle(pickle.dumps(abs), modules=(make(Path(place)),)).dumps()
        arguments = chunk_blob("item", [-3], "pickle")
        batch = new_batch_id()
        opened = BatchOpen(batch, BatchSpec(), os.urandom(16), len(code))
        program = Program(VERSION, "host", 1)
        submit = Submit(1, (opened,), (ChunkHead(batch, 0, 1, len(arguments)),), (BatchClose(batch, 1),), program)
        with door(scene.url, "desk", scene.key("alice")) as desk:
            assert desk.answer() == "let in"
            desk.say(submit, code, arguments)
            assert desk.socket.poll(30_000)
            assert isinstance(Decoder(VentilatorToClient).decode(desk.socket.recv()).message, Accepted)
        sent: Any = scene.alice.attach(batch.hex())
        (outcome,) = sent.outcomes()
        sent.delete()
        if files := [path.name for path in Path(place).iterdir()]:
            return f"there is {files}"
    if outcome.state == "succeeded" and outcome.value == 3:
        return "its own affair"
    return "it alone fails" if outcome.state == "failed" else f"{outcome.state}: {outcome.cause}"


assert len(bomb()) < (LIMITS.frame_bytes or 0)
for what, (make, right) in MODULES.items():
    ATTACKS.append(Attack("a job's module", f"has {what}", right, partial(ran, make=make)))


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_what_a_file_does(attack: Attack, scene: Scene, show: Show) -> None:
    """What is no safe file of one's own is refused in a line, and nothing is written where it was not to be."""
    assert_harmless(attack, scene, show)
