"""The whole pipeline on this machine: three stations in a private folder that live as long as their client.

The client holds the writing end of their supervisor's stdin; the stations end when it closes, also when the client is
killed. A station that dies is started again, and so is the supervisor: the files are still there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import msgspec

from penstock.errors import ConfigError, NoPipeline
from penstock.slot.process_tree import descendants, is_alive, kill_all
from penstock.station.capacity import check_slots, default_slots
from penstock.station.config import TERM_GRACE, SinkConfig, VentilatorConfig, WorkerConfig
from penstock.station.interpreter import command, import_path, output

START = "import json,sys; sys.path[:]=json.loads(sys.argv[1])['path']; "
START += "from penstock.supervisor import main; sys.exit(main(sys.argv[1]))"

START_TIME = 30.0
"""Seconds the stations have to come up: a cold start of Python from a slow disk, many times over."""
RESTARTS = 5
"""So often in a row a station is started again, and their supervisor within a minute."""
POLL_INTERVAL = 0.02
"""Seconds between two looks whether slots have ended."""
STOP_TIME = 8.0
"""Seconds the supervisor has to end when the client leaves, beyond the jobs' grace; it gives the stations less."""
KILL_TIME = 2.0
"""Seconds for what was killed to be gone; what hangs in the kernel must not hold up its client."""

_living: weakref.WeakSet[LocalStations] = weakref.WeakSet()


class LocalStations:
    """The ventilator, the sink and the worker of an embedded pipeline, which a supervisor process keeps alive. They end
    with this object, or with this process."""

    start_time = START_TIME

    def __init__(
        self,
        slots: int | None = None,
        data: Path | None = None,
        *,
        pass_output: bool = True,
        grace: float = TERM_GRACE,
    ) -> None:
        """Start them, and do not wait. `data`: a folder that keeps the batches; None: they are deleted at the end.
        `pass_output`: show what jobs print where the client was started. `grace`: seconds between SIGTERM and SIGKILL
        for jobs. ConfigError: there is no room for so many slots."""
        if sys.platform == "win32":
            raise ConfigError("an embedded pipeline needs Linux or WSL: give the URL of a running one")
        self.slots: int = slots or default_slots()
        self.grace = grace
        check_slots(self.slots)
        self._pid = os.getpid()
        self._up = False
        from penstock.job.private_folder import make_folder  # noqa: PLC0415 - Windows has no such locks

        self._folder, self._lock = make_folder()
        self.url: str = f"ipc://{self._folder}"
        self.data = data
        self._order = self._order_of(data, pass_output=pass_output)
        self._restarted_at: list[float] = []
        _living.add(self)
        try:
            self._supervisor = self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            raise

    def _order_of(self, data: Path | None, *, pass_output: bool) -> str:
        """The order that supervisor.Order describes, as JSON."""
        url, scratch = self.url, data is None
        try:
            folder = str(data.absolute() if data is not None else self._folder / "data")
        except OSError:
            raise ConfigError(f"data={data}: the working folder is gone; give the whole path") from None
        order = {
            "folder": str(self._folder),
            "lock": self._lock,
            "path": import_path(),
            "restarts": RESTARTS,
            "worker": WorkerConfig(
                url=url,
                slots=self.slots,
                name="local",
                pass_output=pass_output,
                grace=self.grace,
                log_level="ERROR",
            ),
            "ventilator": VentilatorConfig(url=url, data=folder, durable=False, scratch=scratch),
            "sink": SinkConfig(url=url, data=folder, durable=False, scratch=scratch),
        }
        return msgspec.json.encode(order).decode()

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                command("-c", START, self._order),
                stdin=subprocess.PIPE,
                stdout=output(1),
                stderr=output(2),
                bufsize=0,
                pass_fds=(self._lock,),
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(f"no process of {sys.executable} can be started: {error}") from None

    def pids(self) -> dict[str, int]:
        """The supervisor's process and the stations'."""
        stations = {path.stem: int(path.read_text()) for path in self._folder.glob("*.pid")}
        return {"supervisor": self._supervisor.pid, **stations}

    def up(self) -> None:
        """They have all answered: from now on one that dies is started again."""
        self._up = True
        assert self._supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `check` notices
            self._supervisor.stdin.write(b"u")

    def check(self) -> None:
        """Look after the supervisor. Raises NoPipeline with the last words of a station that could not live."""
        code = self._supervisor.poll()
        if code is None:
            return
        self._restarted_at = [at for at in self._restarted_at if at > time.monotonic() - 60]
        reason = self._folder / "ended"
        if reason.exists():
            raise NoPipeline(reason.read_text())
        if not self._up or len(self._restarted_at) >= RESTARTS:
            raise NoPipeline(f"the supervisor of the embedded stations ended with code {code}")
        self._restarted_at.append(time.monotonic())
        self._close_stdin()
        self._supervisor = self._start()
        self.up()

    def stop(self) -> None:
        """End them, and leave nothing behind: jobs that run have their grace, unless this is interrupted. In a forked
        child: nothing."""
        if os.getpid() != self._pid or not self._close_stdin():
            return
        try:
            self._supervisor.wait(STOP_TIME + self.grace)
        except subprocess.TimeoutExpired:
            self._kill()
        except BaseException:
            self._kill()
            raise
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)

    def _kill(self) -> None:
        """The stations end with their supervisor, the jobs with them."""
        below = descendants(self._supervisor.pid)
        self._supervisor.kill()
        self._supervisor.wait()
        deadline = time.monotonic() + KILL_TIME
        while time.monotonic() < deadline and any(map(is_alive, below)):
            time.sleep(POLL_INTERVAL)

    def kill(self) -> None:
        """End them all at once, with what runs."""
        worker = self.pids().get("worker")
        if os.getpid() != self._pid or worker is None:
            return
        kill_all([worker], signal.SIGSTOP)  # it would start again what has ended
        below = descendants(worker)
        self._supervisor.kill()  # all the others end with it
        kill_all([*below, worker])

    def _close_stdin(self) -> bool:
        """Let go of the stations; False: that was done before."""
        stdin = self._supervisor.stdin
        if stdin is None or stdin.closed:
            return False
        with contextlib.suppress(OSError):
            stdin.close()
        return True

    def let_go(self) -> None:
        """In a forked child: do not keep the stations alive, nor their folder."""
        if self._close_stdin():
            os.close(self._lock)


def _in_child() -> None:
    # a child that held the supervisor's stdin too would keep the stations alive after this process
    for stations in list(_living):
        stations.let_go()


if hasattr(os, "register_at_fork"):  # Windows knows no fork
    os.register_at_fork(after_in_child=_in_child)
