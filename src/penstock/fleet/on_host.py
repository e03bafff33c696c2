"""What `penstock fleet` does on a host: this file goes there through ssh, as a program for a Python that may have no
penstock and may be an old one. So it imports only the standard library, and is written for Python 3.8.

It is given an order and answers with a line of JSON behind MARK. What it keeps, by pipeline and by the name of the
host, because hosts may share a home, in the user's state folder (XDG_STATE_HOME): ``worker.log`` and that of the worker
before, ``worker.pid`` (which worker it is, in which life of the host), ``worker.key`` (0600) and
``worker.lock``, which the worker holds as long as it lives: a process id alone may be another's by now. Where penstock
is missing, or is another one than on the head, it is installed into a venv of its own in the user's data folder
(XDG_DATA_HOME).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MARK = "penstock-answer "
"""Begins the line that is the answer: login scripts print things too."""
NOT_FROM_HERE = "-P"
"""To every Python that is started: import nothing from the current folder. None is started that is older than 3.11,
which has this."""
START_TIME = 60.0
"""Seconds a worker has to say that it is up: a cold start of Python from a slow network disk."""
LOG_BYTES = 1 << 16
"""Of a log that are read, at its beginning or end: a worker that runs for months may have said much."""
LOOK_INTERVAL = 0.05
"""Seconds between two looks at a worker that starts or stops."""
REACH_TIME = 3.0
"""Seconds for a connection to the head, which is tried to tell the user."""


class HostError(Exception):
    """One line for people."""


def look(order: Any) -> Any:
    """What is here: Python, the interpreter that has this very penstock (or none), and the worker, if one runs."""
    files = WorkerFiles(order["pipeline"])
    pid = files.worker()
    found = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "fit": fitting(order["digest"]),
        "host": socket.gethostname(),
        "pid": pid,
        "outdated": bool(pid) and files.record().get("penstock") != order["digest"],
        "log": str(files.log),
        "last": files.last_line(),
    }
    if found["pid"]:
        match = re.search(r" started: .* slots=(\d+)", files.beginning())
        found.update(slots=int(match.group(1)) if match else 0, since=files.lock.stat().st_mtime)
    return found


def start(order: Any) -> Any:
    """Install penstock if need be, take the key, start a worker that outlives this session; it runs already: say so, or
    let it end first."""
    files = WorkerFiles(order["pipeline"])
    if files.worker():
        if not order["restart"]:
            return dict(look(order), already=True)
        stop(order)
        files = WorkerFiles(order["pipeline"])
    python = fitting(order["digest"]) or install(order)
    while (held := files.take()) is None:
        if files.worker():
            return dict(look(order), already=True)
        time.sleep(LOOK_INTERVAL)
    try:
        argv = [python, NOT_FROM_HERE, "-m", "penstock", "worker", *order["options"]]
        if order["key"]:
            files.write_key(order["key"])
            argv += ["--key", str(files.key)]
        launch(files, argv, held, order["digest"])
    finally:
        os.close(held)
    return dict(look(order), unreachable=[text for text in map(unreachable, order["reach"]) if text])


def stop(order: Any) -> Any:
    """SIGTERM to the worker, then wait until it is gone."""
    files = WorkerFiles(order["pipeline"])
    pid = files.worker()
    if pid:
        os.kill(pid, signal.SIGTERM)
    while files.worker():
        time.sleep(LOOK_INTERVAL)
    return dict(look(order), stopped=pid, undelivered=" left_undelivered: " in files.end())


class WorkerFiles:
    """Where a pipeline's worker has its files."""

    def __init__(self, pipeline: str) -> None:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        self._set(state / "penstock" / "fleet" / pipeline)
        if not self.is_of_0_2():
            self._set(self.folder / socket.gethostname())

    def _set(self, folder: Path) -> None:
        self.folder: Path = folder
        self.log: Path = self.folder / "worker.log"
        self.pid: Path = self.folder / "worker.pid"
        self.key: Path = self.folder / "worker.key"
        self.lock: Path = self.folder / "worker.lock"

    def take(self, how: int = fcntl.LOCK_EX) -> int | None:
        """The lock, for a worker to inherit, or shared: to see that none has it. None: one has it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        lock = private_file(self.lock, os.O_RDWR)
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return lock

    def is_held(self) -> bool:
        """Whether a worker has the lock."""
        if not self.lock.exists():
            return False
        lock = self.take(fcntl.LOCK_SH)
        if lock is not None:
            os.close(lock)
        return lock is None

    def is_of_0_2(self) -> bool:
        """Whether a worker runs that penstock 0.2 has started, which had one folder for all hosts: perhaps here."""
        pid = self.record().get("pid", 0) if self.is_held() else 0
        command = Path(f"/proc/{pid}/cmdline")
        return bool(pid) and command.exists() and b"penstock" in command.read_bytes()

    def record(self) -> Any:
        """Of the worker that was started last: its `pid`, the `boot` of its host, and which `penstock` it is."""
        text = self.pid.read_text().strip() if self.pid.exists() else ""
        if text.isdigit():  # by penstock 0.2
            return {"pid": int(text), "boot": boot()}
        return json.loads(text) if text else {}

    def worker(self) -> int:
        """The process id of the worker that runs, or 0. Raises HostError: it runs on another host."""
        if not self.is_held():
            return 0
        record = self.record()
        if record and record["boot"] != boot():
            raise HostError(
                f"another host that is called {socket.gethostname()} has the same home, and its worker runs: give hosts"
                " that share a home different names"
            )
        return int(record.get("pid", 0))

    def write_key(self, text: str) -> None:
        """At no moment readable by others."""
        new = self.key.with_name(".new.key")
        if new.exists():
            new.unlink()
        write_private(new, text)
        new.replace(self.key)

    def beginning(self) -> str:
        """Of the log: there the worker says what it is."""
        with self.log.open("rb") as log:
            return log.read(LOG_BYTES).decode(errors="replace")

    def end(self) -> str:
        """The last lines of a worker's log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - LOG_BYTES))
            return log.read().decode(errors="replace")

    def last_line(self) -> str:
        """The last line of a worker's log, which says why it ended."""
        lines = self.end().splitlines()
        return lines[-1] if lines else ""


def private_file(path: Path, flags: int) -> int:
    """Open a file that is this user's alone, whatever the umask is; made where it is missing."""
    opened = os.open(str(path), flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(opened, 0o600)
    return opened


def write_private(path: Path, text: str) -> None:
    """Make such a file of this text."""
    with os.fdopen(private_file(path, os.O_WRONLY | os.O_TRUNC), "w") as opened:
        opened.write(text)


def boot() -> str:
    """What this life of the host is called, and no other host's."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def launch(files: Any, argv: Any, lock: int, penstock: str) -> None:
    """A worker of this penstock in a session of its own, which holds the lock; returns when it is up."""
    write_private(files.pid, "")
    if files.log.exists():
        files.log.replace(files.log.with_suffix(".log.old"))
    with os.fdopen(private_file(files.log, os.O_WRONLY | os.O_APPEND), "w") as log:  # so that it can be truncated
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=str(Path.home()),
            pass_fds=(lock,),
            start_new_session=True,
        )
    write_private(files.pid, json.dumps({"pid": process.pid, "boot": boot(), "penstock": penstock}))
    os.utime(str(files.lock))
    end = time.monotonic() + START_TIME
    while " started: " not in files.beginning():
        if process.poll() is not None:
            raise HostError("the worker ended at once: " + (files.last_line() or f"exit code {process.returncode}"))
        if time.monotonic() > end:
            process.kill()
            process.wait()
            raise HostError(f"the worker was not up after {START_TIME:g} s, see {files.log}")
        time.sleep(LOOK_INTERVAL)


def unreachable(endpoint: Any) -> str:
    """Why a port of the pipeline cannot be reached from here, or nothing."""
    host, port = endpoint
    try:
        socket.create_connection((host.strip("[]"), port), REACH_TIME).close()
    except OSError as error:
        return f"{host}:{port}: {(error.strerror or str(error)).lower()}"
    return ""


# ------------------------------------------------------------------------------------------------- penstock itself


def digest(package: Path) -> str:
    """Of all that is in a package's folder, except what Python compiled."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            data = path.read_bytes()
            found.update(f"{path.relative_to(package).as_posix()} {len(data)}\n".encode())
            found.update(data)
    return found.hexdigest()


def fitting(wanted: str) -> str:
    """The interpreter that has penstock with this digest: this one, or that of the venv; or nothing."""
    spec = importlib.util.find_spec("penstock")
    if spec is not None and spec.origin and digest(Path(spec.origin).parent) == wanted:
        return sys.executable
    venv = private(wanted)
    return str(venv / "bin" / "python") if (venv / "installed").exists() else ""


def private(wanted: str) -> Path:
    """The venv for penstock with this digest under this Python."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "penstock" / f"venv-{sys.version_info[0]}.{sys.version_info[1]}-{wanted[:12]}"


def install(order: Any) -> str:
    """Penstock from the wheel that came along, what it depends on from wherever this host's pip has it."""
    name, wheel = order["wheel"]
    venv = private(order["digest"])
    venv.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(private_file(Path(str(venv) + ".lock"), os.O_WRONLY), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (venv / "installed").exists():
            run(
                [sys.executable, NOT_FROM_HERE, "-m", "venv", "--clear", str(venv)],
                "no venv can be made (Debian: python3-venv)",
            )
            (venv / name).write_bytes(base64.b64decode(wheel))
            pip = [str(venv / "bin" / "python"), NOT_FROM_HERE, "-m", "pip", "install", "--quiet"]
            run([*pip, "--disable-pip-version-check", str(venv / name)], "penstock cannot be installed")
            (venv / "installed").touch()
    return str(venv / "bin" / "python")


def whose(path: Any) -> str:
    """Of a file that this user may not open, that it is another's: what a `sudo` in between has left."""
    try:
        owner = os.lstat(path).st_uid
    except (OSError, TypeError):
        return ""
    mine = owner == os.geteuid()
    return "" if mine else f": it belongs to user {owner} and not to {os.geteuid()}, remove it or chown it"


def run(argv: Any, failure: str) -> None:
    """Run a program; HostError with the last it said."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        raise HostError(f"{failure}: {said[-1] if said else done.returncode}")


def main(order: Any) -> None:
    """Carry out an order and print the answer."""
    if sys.platform != "linux":
        answer: Any = {"error": "a worker of a fleet needs Linux, this is " + sys.platform}
    else:
        try:
            answer = {"look": look, "start": start, "stop": stop}[order["do"]](order)
        except PermissionError as error:
            answer = {"error": f"{error}{whose(error.filename)}"}
        except (HostError, OSError, ValueError) as error:
            answer = {"error": str(error)}
    sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")
