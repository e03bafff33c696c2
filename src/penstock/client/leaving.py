"""How a client leaves its pipeline, and what becomes of its jobs then.

Promises:

1. Who waits (`with`, `shutdown`) waits until all futures and maps of this client have ended, connected or not; on an
   embedded pipeline until its batches have, too.
2. An embedded pipeline ends no job that was submitted: left without waiting, forgotten, or when the interpreter exits,
   it goes on until all have run. On a running pipeline it is enough that they are accepted.
3. Leaving by an exception ends embedded work at once.
4. What is dropped in any other way is said on stderr, with how many jobs that are: because the wait for them was
   interrupted, the stations could not live, or nobody accepted them.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from penstock.client.interpreter_exit import living
from penstock.client.map import Map
from penstock.client.outage import CONNECT_TIMEOUT
from penstock.client.session import Session
from penstock.client.single_submits import Streams
from penstock.errors import JobCancelled, JobDied, NoPipeline, PenstockError
from penstock.wire.desk_messages import AskPipeline, PipelineInfo

if TYPE_CHECKING:
    from penstock.client.local_stations import LocalStations
    from penstock.keys.files import KeyFile

EXIT_TIMEOUT = 30.0
"""Seconds an interpreter that exits waits for what it submitted to be accepted."""
INTERRUPTED_TIMEOUT = 2.0
"""Seconds who leaves by Ctrl-C waits for it, and who ends all workers for what has not started to be cancelled."""
COUNT_TIMEOUT = 1.0
"""Seconds that are waited for the number of jobs that are about to be dropped."""
POLL_INTERVAL = 0.01
"""Seconds until the first look at whether an embedded pipeline has done everything; they double."""
WAIT_INTERVAL = 0.5
"""Seconds between two looks at whether a pipeline that is waited for is still there."""


class Member:
    """One client of one pipeline, from its first connection until nothing of it is left."""

    def __init__(self, url: str, stations: LocalStations | None, key: KeyFile | None) -> None:
        """`stations`: of an embedded pipeline, which end with this client. Raises NoPipeline: nobody answers; Refused:
        not with this key; ConfigError: not a URL."""
        self.url: str = url
        self.left: bool = False
        """It takes no more jobs."""
        self.batched: int = 0
        """Jobs of batches that were submitted and have not been seen to have ended."""
        self._pid = os.getpid()
        self._stations = stations
        self._streams = Streams()
        self._maps: weakref.WeakSet[Map] = weakref.WeakSet()
        self._lost = 0
        """Jobs that had not ended when the session failed."""
        self._gone = False
        self._closed = threading.Lock()
        self._finishing = threading.Lock()
        self._drawing = threading.Lock()
        self.session: Session = Session(url, self._streams, stations, key)
        self._streams.session = self.session
        self.session.on_failure(self._fail)
        try:
            self.session.connect(CONNECT_TIMEOUT if stations is None else stations.start_time)
        except BaseException:
            self._close()
            raise
        if stations is not None:
            stations.up()
        living.add(self)

    @property
    def _is_here(self) -> bool:
        """Whether there is something to leave: it is not gone, and this is no forked child."""
        return os.getpid() == self._pid and not self._gone

    # ------------------------------------------------------------------------------------- by the user's wish

    def leave(self, *, wait: bool, cancel_futures: bool = False) -> None:
        """No more jobs are taken. With `wait` returns when all have ended, else at once, on a running pipeline when
        they are accepted."""
        if os.getpid() != self._pid:
            return
        first, self.left = not self.left, True
        if first and cancel_futures:
            with suppress(PenstockError):  # nobody answers any more: nothing will run
                self._cancel_unstarted()
        if wait and not self.session.delivery.is_here:
            self._finish(draw=True)
            return
        if first:
            self._leave_soon()
        if wait:
            self.session.ensure_may_wait()

    def leave_by(self, error: BaseException | None) -> None:
        """Leave by an exception: embedded work is cancelled; a running pipeline's futures are waited for as every
        executor does, unless nobody answers, or the user or the system wants to be gone: then it has a moment."""
        if self._stations is not None:
            self.abandon()
        elif isinstance(error, Exception) and not isinstance(error, NoPipeline):
            self.leave(wait=True)
        else:
            self.drop(str(error) or "interrupted")

    def leave_forgotten(self) -> None:
        """Leave in the background: its Pipeline was garbage."""
        with suppress(RuntimeError):  # the interpreter is exiting, which waits by itself
            threading.Thread(target=self.leave, kwargs={"wait": False}, name="penstock-leaving", daemon=True).start()

    def abandon(self, timeout: float = INTERRUPTED_TIMEOUT) -> None:
        """Leave at once: embedded work ends, a running pipeline keeps what it accepts within `timeout` seconds."""
        if self._is_here:
            self.left = True
            self._await_acceptance(timeout)
            self._close()

    def terminate(self) -> None:
        """Leave at once, and let nothing of what this client's futures and maps stand for run on."""
        if self._is_here and not self.left:
            self.left = True
            if self._await_acceptance(EXIT_TIMEOUT):
                self._cancel_running()
        self.abandon()

    def end_workers(self, operation: str, *, at_once: bool) -> None:
        """As `terminate`: what has not started is cancelled, what runs raises JobDied that names the operation. Unless
        `at_once` embedded jobs are told, and have their grace to clear up."""
        if not self._is_here:
            return
        self.left = True
        died = JobDied(f"its process was ended by {operation}()")
        streams = self._streams.living()
        with suppress(PenstockError, RuntimeError):  # nobody answers, or this is a callback that cannot wait
            self._cancel_waiting()
        for run in list(self._maps):
            run.fail(died)
        if self._stations is None:
            with suppress(PenstockError, RuntimeError):
                self.session.call(lambda: self._streams.fail(died))
                for stream in streams:
                    stream.cancel_all(unstarted_only=False)
                self._cancel_running()
        elif at_once:
            self._stations.kill()
        self._close(died)
        self.session.delivery.wait()  # the futures are settled there

    # ------------------------------------------------------------------------------------- at the interpreter's exit

    def linger(self) -> None:
        """Wait until what an embedded pipeline was given has run; it takes more meanwhile, and afterwards."""
        if self._is_here and self._stations is not None:
            with suppress(PenstockError, RuntimeError):  # it cannot live, or somebody has left it meanwhile
                self._wait_for_all()

    def leave_at_exit(self) -> None:
        """Leave when all that was submitted has run, on a running pipeline when it is accepted."""
        self.linger()
        if self._is_here and self._stations is None:
            self.drop(f"{self.session.url} has not accepted them", EXIT_TIMEOUT)
        elif os.getpid() == self._pid:
            self.left = True
            self._close()  # or wait until whoever does it already has
            self._say_lost()

    def drop(self, why: str, timeout: float = INTERRUPTED_TIMEOUT) -> None:
        """Leave now, and say how many jobs that drops."""
        if self._is_here:
            self.left = True
            dropped = 0 if self._await_acceptance(timeout) and self._stations is None else self._open_jobs()
            self._close()
            _say(dropped, why, self._stations)

    # ------------------------------------------------------------------------------------- waiting

    def _leave_soon(self) -> None:
        """What was submitted runs on, and is left when it has ended."""
        self._streams.close_open()
        for run in list(self._maps):
            run.cut_off()
        if self._stations is None:
            try:
                self._await_acceptance(None)
            except BaseException:
                self.drop("interrupted")
                raise
        with suppress(RuntimeError):  # the interpreter is exiting, which waits by itself
            threading.Thread(target=self._finish_later, name="penstock-leaving", daemon=True).start()

    def _finish_later(self) -> None:
        """In the background: maps whose input is drawn by their readers are not cut short."""
        interval = POLL_INTERVAL
        while not self._gone and any(run.is_being_drawn for run in list(self._maps)):
            time.sleep(interval)
            interval = min(2 * interval, WAIT_INTERVAL)
        with suppress(Exception):
            self._finish(draw=False)

    def _finish(self, *, draw: bool) -> None:
        """Wait for everything, then close; who comes second waits for the first."""
        try:
            if self.session.failure is None and not self._gone:
                with self._drawing:
                    for run in list(self._maps) if draw else ():
                        run.draw_rest()
            with self._finishing:
                if self.session.failure is None and not self._gone:
                    self._wait_for_all()
                    self._keep_results()
            self._close()
        except BaseException:
            self.drop("interrupted" if self.session.failure is None else str(self.session.failure))
            raise
        self._say_lost()

    def _wait_for_all(self) -> None:
        """Until all that was submitted has ended, and what callbacks have submitted meanwhile."""
        while not self._gone:
            self._streams.close_open()
            self.session.wait_for(self.session.accepted(), None)
            is_idle = not self._streams.futures() and (self._stations is None or self._is_idle())
            self._streams.wait()
            if is_idle and not self._streams.futures():
                return

    def _is_idle(self) -> bool:
        """Whether an embedded pipeline has done everything, and nothing was submitted meanwhile: waits until it has."""
        interval = POLL_INTERVAL
        while self._count():
            time.sleep(interval)
            interval = min(2 * interval, WAIT_INTERVAL)
        self.batched = 0
        return not self._streams.futures()

    def _count(self) -> int:
        """Jobs of an embedded pipeline that have not ended; at least one, as long as nobody answers."""
        try:
            info: PipelineInfo = self.session.ask(AskPipeline)
        except NoPipeline:
            self.session.ensure_usable()
            return 1  # its ventilator is being started again
        return info.queued + info.leased

    def _keep_results(self) -> None:
        """Maps can be read when the pipeline has been left."""
        maps = list(self._maps)
        for run in maps:
            run.absorb()
        if maps and self._stations is None:
            with suppress(NoPipeline):  # who is away forgets them by itself
                self.session.ask(AskPipeline)  # answered when what was said before is read: which maps to forget

    def _await_acceptance(self, timeout: float | None) -> bool:
        """Whether a running pipeline has accepted all within so many seconds; embedded nothing is waited for."""
        with suppress(PenstockError, RuntimeError):  # nobody answers, or this is a callback that cannot wait
            self._streams.close_open()
            if self._stations is None:
                self.session.wait_for(self.session.accepted(), timeout)
            return True
        return False

    # ------------------------------------------------------------------------------------- ending

    def _cancel_unstarted(self) -> list[Future[Any]]:
        """Of futures and maps; the answers of the ventilator."""
        answers = [stream.cancel_all(unstarted_only=True) for stream in self._streams.living()]
        for run in list(self._maps):
            run.cancel_unstarted()
        return answers

    def _cancel_waiting(self) -> None:
        """As `_cancel_unstarted`; returns when the futures of what has not started are cancelled."""
        deadline = time.monotonic() + INTERRUPTED_TIMEOUT
        futures = self._streams.futures()
        answers = self._cancel_unstarted()
        jobs = sum(self.session.wait_for(one, max(0.0, deadline - time.monotonic()))[0].jobs for one in answers)
        while sum(future.cancelled() for future in futures) < jobs and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)

    def _cancel_running(self) -> None:
        """Of futures and maps; returns when the ventilator knows."""
        with suppress(PenstockError, RuntimeError):
            for stream in self._streams.living():
                stream.cancel_all(unstarted_only=False)
            for run in list(self._maps):
                run.cancel()
            self.session.ask(AskPipeline)  # answered when what was said before is read

    def _close(self, error: BaseException | None = None) -> None:
        """End the connection and the stations; whoever still waits for a job meets the error."""
        error = error or JobCancelled("its pipeline was left before it ended")
        with self._closed:
            self._gone = True
            for run in list(self._maps):
                run.fail(error)
            self.session.close()
            if self._stations is not None:
                self._stations.stop()
            living.discard(self)
        self._streams.fail(error)  # also what came in this moment

    # ------------------------------------------------------------------------------------- what is dropped

    def _fail(self, error: BaseException) -> None:
        """Nothing will be answered any more (in the session's thread)."""
        self._lost = self.session.unaccepted if self._stations is None else self._known_open()
        self._streams.fail(error)

    def _known_open(self) -> int:
        """Jobs that have not ended as far as is known here: batches are known only by their size."""
        return len(self._streams.futures()) + sum(run.open_jobs for run in list(self._maps)) + self.batched

    def _open_jobs(self) -> int:
        """How many jobs are dropped by leaving now."""
        if self.session.failure is not None:
            return self._lost
        try:
            if self._stations is None:
                return self.session.wait_for(self.session.count_unaccepted(), COUNT_TIMEOUT)
            info: PipelineInfo = self.session.ask(AskPipeline, COUNT_TIMEOUT)
        except (PenstockError, RuntimeError):
            return self._known_open()
        return info.queued + info.leased

    def _say_lost(self) -> None:
        if self.session.failure is not None:
            lost, self._lost = self._lost, 0
            _say(lost, str(self.session.failure), None)


def _say(jobs: int, why: str, stations: LocalStations | None) -> None:
    """To people, on stderr: this process is ending, and logging may have ended before."""
    if not jobs:
        return
    many = "1 job was" if jobs == 1 else f"{jobs} jobs were"
    text = f"penstock: {many} dropped: {why}"
    if stations is not None and stations.data is not None:
        text = f"penstock: {many} not done: {why}; {stations.data} keeps them for the next pipeline there"
    with suppress(OSError, ValueError, AttributeError):  # stderr is closed, or there is none
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - see above
