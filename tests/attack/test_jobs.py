"""Jobs that turn on their worker: they forge what their slot says, harm processes, read keys, fill what they can."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from conftest import Show
from penstock.slot.protocol import MEDDLING
from support.attack_scene import Attack, Attacks, Scene, assert_harmless
from support.stations import LIMIT, free_url, logs

cloudpickle.register_pickle_by_value(sys.modules[__name__])

USER = "nobody"
ATTACKS = Attacks()


# ------------------------------------------------------------------------------------------ what is written to sockets


def slot_sockets() -> list[int]:
    """Of this process: the one to its agent is the only one."""
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                found.append(fd)
        except OSError:
            continue
    return found


def write_frame(header: bytes, size: int, payload: bytes, length: int | None = None) -> str:
    """Write a frame of the stream between slot and agent, in the slot's place."""
    import struct

    head = struct.pack("<4sIQ", b"\xf3pst", len(header) if length is None else length, size)
    for fd in slot_sockets():
        os.write(fd, head + header + payload)
    return "written"


def done(*ran: Any, piece: int = 1, tag: str = "Done") -> bytes:
    """A Done as a slot says it."""
    import msgspec

    return msgspec.msgpack.encode([tag, piece, list(ran)])


def span(start: int = 0, stop: int = 1, state: str = "succeeded", **more: Any) -> list[Any]:
    """What a span came to."""
    fields = {"started_time": 1.0, "elapsed": 0.1, "size": 0} | more
    return [start, stop, state, *fields.values()]


HUGE = 2**63 - 1
FRAMES: dict[str, tuple[Any, ...]] = {
    "a header that claims 4 GB": (b"", 0, b"", 2**32 - 1),
    "a header that is no msgpack": (b"\xc1\xc1", 0, b""),
    "a payload that claims 2**63 bytes": (done(), 2**63, b""),
    "a payload that claims 1 TB": (done(span(size=1 << 40)), 1 << 40, b""),
    "Done of a piece that it has not": (done(span(), piece=10**6), 0, b""),
    "Done of the piece -1": (done(piece=-1), 0, b""),
    "Done of jobs of others": (done(*[span(n, n + 1) for n in range(100)], piece=2), 0, b""),
    "Done of jobs backwards": (done(span(1, 0), piece=2), 0, b""),
    "Done in a state that it cannot say": (done(span(state="dead"), piece=2), 0, b""),
    "Done in a state that is none": (done(span(state="won"), piece=2), 0, b""),
    "Done of a time that is no number": (done(span(elapsed=float("nan")), piece=2), 0, b""),
    "Done of a time below zero": (done(span(started_time=-5.0), piece=2), 0, b""),
    "Done of 500 spans": (done(*[span(n, n + 1) for n in range(500)], piece=2), 0, b""),
    "Done of a size that is not there": (done(span(size=HUGE), piece=2), 0, b""),
    "Ready, once more": (b"\x92\xa5Ready\x01", 0, b""),
    "Ready with the process id of init": (b"\x92\xa5Ready\x01", 0, b""),
    "Unfit, while it runs": (b"\x92\xa5Unfit\xa5\x1b[2J\n", 0, b""),
    "a message that the agent says": (b"\x92\xa9FreeChunk\x01", 0, b""),
    "arrays in arrays, 10,000 deep": (b"\x91" * 10_000, 0, b""),
    "an array of 2**32 - 1": (b"\xdd\xff\xff\xff\xff", 0, b""),
}


def became(scene: Scene, job: Callable[[], Any], user: str) -> str:
    """What a job of alice's comes to that may not start again."""
    options: dict[str, Any] = {"user": user} if user else {}
    batch = scene.alice.batch(_called, [job], max_crashes=1, time_limit=5, **options)
    batch.wait(20)
    (outcome,) = batch.outcomes()
    batch.delete()
    if MEDDLING in outcome.cause:
        return "it alone is dead"
    return str(outcome.value) if outcome.state == "succeeded" else f"{outcome.state}: {outcome.cause}"


def _called(job: Callable[[], Any]) -> Any:
    return job()


def scribbled(scene: Scene, frame: tuple[Any, ...], user: str) -> str:
    """The frame is written, and the job ends as any other."""
    return became(scene, partial(write_frame, *frame), user)


def users() -> Iterator[tuple[str, str]]:
    yield "a job", ""
    if os.geteuid() == 0:
        yield f"a job, user={USER}", USER


for role, user in users():
    for what, frame in FRAMES.items():
        attack = partial(scribbled, frame=frame, user=user)
        ATTACKS.append(Attack(role, f"writes to its agent: {what}", "it alone is dead", attack))


# ------------------------------------------------------------------------------------------ its descriptors and page


def close_all() -> str:
    """Closes all its descriptors."""
    os.closerange(3, 1024)
    return "closed"


def replace_socket() -> str:
    """Puts another file in the place of its slot's socket."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in slot_sockets():
        os.dup2(null, fd)
    return "replaced"


def truncate_page() -> str:
    """Makes the page that it shares with the agent shorter."""
    tried = 0
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if "penstock-slot" in os.readlink(f"/proc/self/fd/{fd}"):
                tried += 1
                os.ftruncate(fd, 0)
        except PermissionError:
            continue
        except OSError:
            continue
    return "the page stays" if tried else "there is no page"


for role, user in users():
    for job, right in (
        (close_all, "it alone is dead"),
        (replace_socket, "it alone is dead"),
        (truncate_page, "the page stays"),
    ):
        tries = (job.__doc__ or "").rstrip(".").lower()
        ATTACKS.append(Attack(role, tries, right, partial(became, job=job, user=user)))


# ------------------------------------------------------------------------------------------ processes and secrets


def kills(pids: list[int]) -> str:
    """Whom it may send a signal."""
    import signal

    gone = []
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            gone.append(pid)
        except PermissionError:
            continue
    return f"it has killed {gone}" if gone else "not permitted"


def reads(paths: list[str]) -> str:
    """What it may read."""
    found = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                if file.read(100):
                    found.append(path)
        except OSError:
            continue
    return f"it has read {found}" if found else "not permitted"


def own_environment(secret: str) -> str:
    """Whether a key is in what it is given."""
    with open("/proc/self/environ", "rb") as file, open("/proc/self/cmdline", "rb") as line:
        seen = file.read() + line.read() + repr(os.environ).encode()
    return "it is there" if secret.encode() in seen or b".key" in seen else "nothing is there"


FIONREAD = 0x541B
"""As in termios, which not every user may import: how many bytes are in a pipe."""


def kept_output(pids: list[int]) -> str:
    """Prints more than a pipe holds, and looks where that is kept: in a folder, or open in one of these processes."""
    import fcntl
    import tempfile

    os.write(1, b"a secret\n" * 50_000)
    while any(fcntl.ioctl(1, FIONREAD, bytes(4))):
        pass  # it is being moved away
    found = []
    for place in ["/tmp", tempfile.gettempdir(), *(f"/proc/{pid}/fd" for pid in pids)]:
        try:
            paths = [f"{place}/{name}" for name in os.listdir(place)]
        except OSError:
            continue
        for path in paths:
            if "penstock-output" in path or place.startswith("/proc"):
                try:
                    found += [path] if b"a secret" in open(path, "rb").read(100) else []  # noqa: SIM115
                except OSError:
                    continue
    return f"it has read {found}" if found else "nothing is there"


def parents_of(scene: Scene) -> list[int]:
    """The agent, and the fork server that is its child."""
    import psutil

    agent = psutil.Process(scene.pid("w1"))
    return [agent.pid, *(child.pid for child in agent.children())]


def kills_parents(scene: Scene) -> str:
    return became(scene, partial(kills, parents_of(scene)), USER)


def reads_secrets(scene: Scene) -> str:
    pids = parents_of(scene)
    files = [f"/proc/{pid}/{name}" for pid in pids for name in ("environ", "mem", "maps", "fd/0")]
    keys = [str(scene.keys.path / name) for name in ("workers.key", "ventilator.key", "peers.json")]
    return became(scene, partial(reads, [*files, *keys, f"{scene.folder}/data/queue.db"]), USER)


def reads_output(scene: Scene) -> str:
    return became(scene, partial(kept_output, parents_of(scene)), USER)


def reads_own(scene: Scene, user: str) -> str:
    return became(scene, partial(own_environment, scene.key("workers").secret), user)


if os.geteuid() == 0:
    role = f"a job, user={USER}"
    ATTACKS.append(Attack(role, "kills its agent and its fork server", "not permitted", kills_parents))
    ATTACKS.append(
        Attack(role, "reads its agent's environment and memory, and the keys", "not permitted", reads_secrets)
    )
    ATTACKS.append(Attack(role, "looks for files with what jobs have printed", "nothing is there", reads_output))
for role, user in users():
    ATTACKS.append(
        Attack(role, "looks for a key in its environment", "nothing is there", partial(reads_own, user=user))
    )


# ------------------------------------------------------------------------------------------ too much


def opens_all() -> str:
    """Opens files until it may no more."""
    opened: list[int] = []
    try:
        while len(opened) < 1 << 20:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for fd in opened:
        os.close(fd)
    return "stopped by its own limit"


def floods_stdin_of_agent() -> str:
    """Sends itself all signals that can be caught."""
    import signal

    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
        for _ in range(1000):
            os.kill(os.getpid(), number)
    return "its own affair"


def patches_time() -> str:
    """Leaves clocks and functions of the slot's process changed."""
    import time

    for name in ("time", "monotonic", "monotonic_ns", "time_ns", "clock_gettime"):
        setattr(time, name, lambda *_: -5)
    return "patched"


def patched(scene: Scene) -> str:
    """The job, and one after it in the same slot, end."""
    became(scene, patches_time, "")
    return "its worker goes on" if scene.alice.submit(abs, -6).result(LIMIT) == 6 else "other values"


ATTACKS.append(
    Attack("a job", "opens files without end", "stopped by its own limit", partial(became, job=opens_all, user=""))
)
ATTACKS.append(
    Attack("a job", "4,000 signals to its slot", "its own affair", partial(became, job=floods_stdin_of_agent, user=""))
)
ATTACKS.append(Attack("a job", "leaves the clocks patched", "its worker goes on", patched))


@pytest.fixture(scope="module")
def scene(place: Path) -> Iterator[Scene]:
    """With a worker that lets jobs be nobody, where that can be."""
    made = Scene(place, free_url())
    try:
        yield made.up(allow_users=(USER,) if os.geteuid() == 0 else ())
    finally:
        made.close()
        print("\n".join(logs(place)))


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_what_a_job_does(attack: Attack, scene: Scene, show: Show) -> None:
    """It can end itself, and no other job and no other process."""
    assert_harmless(attack, scene, show)
