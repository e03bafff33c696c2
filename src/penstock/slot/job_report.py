"""What the jobs of one piece came to, put together by a slot: equal neighbours are one record with one list of
values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from penstock.errors import ResultNotPicklable
from penstock.job import payload
from penstock.job.advice import advice_on
from penstock.job.command import Argv, CommandTemplate, run_command
from penstock.job.error_pattern import pattern_of, place_of
from penstock.job.exception_pickling import Raised
from penstock.job.originals import os, time, traceback
from penstock.job.shipped_modules import clients_paths
from penstock.job.spawning import CANNOT_START, returncode_of
from penstock.job.spec import JobState
from penstock.job.stateless import ATOMS, are_plain
from penstock.job.wrappers import INITIALIZER_NOTE
from penstock.slot.journal import Journal
from penstock.slot.output_capture import Output, Taken
from penstock.slot.process_tree import signal_name
from penstock.slot.protocol import RECORDS_BYTES, Ran
from penstock.wire.records import MAX_FRAME_BYTES, Note

TRACEBACK_CHARS = 65_000
"""Of a traceback, kept at both ends: what Note allows, less a line that says what is cut."""
CAUSE_CHARS = 1_000
"""A cause is a line for people."""
VALUE_BYTES = MAX_FRAME_BYTES - (1 << 20)
"""Of serialized values in one record."""
SECOND = 1e9
"""In nanoseconds."""
SILENT = Taken(((), ()), (0, 0))
MISSING = "it is not where the job ran: install it there (your own modules go along with functions that use them)"
"""Put on an import that failed in a job."""


class Report:
    """Of a piece of calls that begins with the job `start`.

    `values` are those of the jobs from `start` on that are not yet in a record; the slot appends to it. `prints` has
    what these and the job that runs wrote.
    """

    is_each_alone = False
    """Whether neighbours are never put together."""

    def __init__(self, start: int, serializer: str) -> None:
        self.values: list[object] = []
        self.prints: dict[int, Taken] = {}
        self.ran: list[Ran] = []
        self.bodies: list[bytes] = []
        self.serializer: str = serializer
        self._are_plain = True
        """Whether none of the values is serialized yet."""
        self.start: int = start
        self._since = time.monotonic_ns()

    @property
    def next_index(self) -> int:
        """The job behind the last one of `values`."""
        return self.start + len(self.values)

    def begin(self, now: int) -> None:
        """All is loaded: the time of the first job runs from here."""
        self._since = now

    def frozen(self, value: object) -> object:
        """The value as it is now, whatever its job's function, or the next job, does to it later: itself if it is
        plain, else serialized. Raises ResultNotPicklable."""
        kind = type(value)
        if kind in ATOMS or (type(value) is tuple and (ATOMS.issuperset(map(type, value)) or are_plain((value,)))):
            return value
        try:
            data = payload.encode(value, self.serializer)
        except BaseException as error:  # noqa: BLE001 - a value's own __reduce__ may raise anything
            raise ResultNotPicklable(_not_serialized(value, error)) from None
        if len(data) > VALUE_BYTES:
            raise ResultNotPicklable(_too_large(len(data)))
        self._are_plain = False
        return payload.Alone(data)

    def printed(self, index: int, taken: Taken) -> None:
        """The job `index`, whose value is or will be among `values`, wrote this."""
        (out, err), (out_lost, err_lost) = self.prints.get(index, SILENT)
        (more_out, more_err), (out_gone, err_gone) = taken
        self.prints[index] = Taken((out + more_out, err + more_err), (out_lost + out_gone, err_lost + err_gone))

    def add(self, index: int, value: object, now: int, output: Taken | None) -> None:
        """A job that gets a record of its own succeeded; all before it are flushed."""
        self.values.append(value)
        self._are_plain = type(value) is not payload.Alone
        if output is not None:
            self.printed(index, output)
        self.flush(now)

    def fail(
        self,
        start: int,
        stop: int,
        error: BaseException,
        now: int,
        output: Taken | None,
        *,
        unstarted: bool = False,
    ) -> None:
        """The jobs [start, stop) failed alike, perhaps before any code of theirs ran; all before them are flushed."""
        if output is not None:
            self.printed(start, output)
        output = self.prints.pop(start, None)
        if isinstance(error, ModuleNotFoundError) and MISSING not in getattr(error, "__notes__", ()):
            error.add_note(MISSING)
        body = b""
        if self.serializer == "pickle":
            body = _pickled(error)
        cause = cause_of(error)
        if type(error) is ResultNotPicklable:
            note = Note(cause)
        else:
            place = place_of(error.__traceback__, OWN_FOLDER)
            note = Note(cause, _traceback_of(error), pattern=pattern_of(cause, place=place))
        self._failed(start, stop, (now - self._since) / SECOND, body, note, output)
        if unstarted:
            self.ran[-1] = replace(self.ran[-1], unstarted=True)
        self.start, self._since = stop, now

    def flush(self, now: int) -> None:
        """Make records of all values."""
        count = len(self.values)
        each = (now - self._since) / SECOND / max(count, 1)
        for low, high in self._parts():
            self._succeeded(low, self.values[low - self.start : high - self.start], each, self.prints.get(low))
        self.values.clear()
        self._are_plain = True
        self.start += count
        self.prints = {index: output for index, output in self.prints.items() if index >= self.start}
        self._since = now

    def save(self, index: int, journal: Journal) -> None:
        """Put the values of the jobs from `index` on into the journal, if there is nothing else of these."""
        if index < self.start:
            journal.give_up()
            return
        new = self.values[index - self.start :]
        if not (self._are_plain and journal.add_all(new)):
            for value in new:
                journal.add_frozen(value)

    def take(self) -> list[tuple[list[Ran], list[bytes]]]:
        """All records there are, with their values: in portions of RECORDS_BYTES, or of one record; at least one."""
        portions: list[tuple[list[Ran], list[bytes]]] = [([], [])]
        size = 0
        for ran, body in zip(self.ran, self.bodies, strict=True):
            more = len(body) + (_note_bytes(ran.note) if ran.note is not None else 0)
            if portions[-1][0] and size + more > RECORDS_BYTES:
                portions.append(([], []))
                size = 0
            size += more
            portions[-1][0].append(ran)
            portions[-1][1].append(body)
        self.ran, self.bodies = [], []
        return portions

    def _parts(self) -> Iterator[tuple[int, int]]:
        """The spans of `values` that are alike: a job that printed stands alone."""
        at, stop = self.start, self.next_index
        for index in sorted(index for index in self.prints if index < stop):
            if at < index:
                yield at, index
            yield index, index + 1
            at = index + 1
        if at < stop:
            yield at, stop

    def _succeeded(self, start: int, values: list[object], each: float, output: Taken | None) -> None:
        try:
            body = payload.encode_values(values, self.serializer, are_plain=self._are_plain)
        except Exception as error:  # noqa: BLE001 - plain values for which msgpack has no form, such as huge integers
            self._sort_out(start, values, each, output, error)
            return
        if len(body) > VALUE_BYTES:
            self._split(start, values, each, output, len(body))
            return
        note = Note() if output else None
        self._record(start, start + len(values), JobState.SUCCEEDED, each * len(values), body, note, output)

    def _split(self, start: int, values: list[object], each: float, output: Taken | None, size: int) -> None:
        """A record is one frame on the wire, which has a bound."""
        if len(values) == 1:
            self._not_picklable(start, _too_large(size), each, output)
            return
        half = len(values) // 2
        self._succeeded(start, values[:half], each, output)
        self._succeeded(start + half, values[half:], each, output)

    def _sort_out(
        self, start: int, values: list[object], each: float, output: Taken | None, error: BaseException
    ) -> None:
        """Some of the values cannot be serialized: those jobs failed."""
        bad = {0: str(error)} if len(values) == 1 else payload.unpicklable(values, self.serializer)
        good_from = 0
        for place, reason in [*bad.items(), (len(values), "")]:
            if good_from < place:
                self._succeeded(start + good_from, values[good_from:place], each, output)
            if place < len(values):
                self._not_picklable(start + place, _not_serialized(values[place], reason), each, output)
            good_from = place + 1

    def _not_picklable(self, index: int, text: str, elapsed: float, output: Taken | None) -> None:
        error = ResultNotPicklable(text)
        body = payload.dumps(error) if self.serializer == "pickle" else b""
        self._failed(index, index + 1, elapsed, body, Note(cause_of(error)), output)

    def _failed(self, start: int, stop: int, elapsed: float, body: bytes, note: Note, output: Taken | None) -> None:
        self._record(start, stop, JobState.FAILED, elapsed, body, note, output)

    def _record(
        self,
        start: int,
        stop: int,
        state: JobState,
        elapsed: float,
        body: bytes,
        note: Note | None,
        taken: Taken | None,
    ) -> None:
        spooled, lost = None, (0, 0)
        if note is not None and taken is not None:
            note, spooled, lost = _with(note, taken)
        self.ran.append(Ran(start, stop, state, time.time() - elapsed, elapsed, len(body), note, spooled, lost))
        self.bodies.append(body)


class CommandEnd(NamedTuple):
    """How a command ended. `cause` says why it did not succeed; `returncode` is a shell's for it, None where that has
    none."""

    argv: Argv
    returncode: int | None
    cause: str
    is_unstarted: bool = False
    """Its program or its folder is not there, or there is no room for another process."""

    @classmethod
    def of(
        cls,
        template: CommandTemplate,
        argv: Argv,
        extra: dict[bytes, bytes],
        *,
        check: bool,
        run: Callable[[CommandTemplate, Argv, dict[bytes, bytes]], int] = run_command,
    ) -> CommandEnd:
        """Run the command to its end."""
        try:
            code = run(template, argv, extra)
        except (OSError, ValueError) as error:
            return cls.unstarted(error, template, argv)
        if code == 0 or not check:
            return cls(argv, code, "")
        return cls(argv, code, f"exit code {code}" if code > 0 else f"killed by {signal_name(-code)}")

    @classmethod
    def unstarted(cls, error: OSError | ValueError, template: CommandTemplate, argv: Argv) -> CommandEnd:
        """Of one that could not be started."""
        if isinstance(error, OSError) and template.cwd is not None and error.filename == template.cwd:
            cause = _clean(f"cannot run in the folder {_shown(template.cwd)}: {error.strerror}")
            return cls(argv, None, cause, is_unstarted=True)
        if not isinstance(error, OSError):
            return cls(argv, None, f"{CANNOT_START} the command: {error}")
        name = _shown(argv[0]) if argv else "the command"
        cause = _clean(f"{CANNOT_START} {name}: {error.strerror or error}")
        return cls(argv, returncode_of(error), cause, is_unstarted=True)


class CommandReport(Report):
    """Of a piece of commands: each has a record, whose value is its argv and whose note has the rest."""

    start: int

    is_each_alone = True

    def frozen(self, value: object) -> object:
        """A CommandEnd is what it is."""
        return value

    def add(self, index: int, value: object, now: int, output: Taken | None) -> None:
        """Take in the end of one command."""
        assert isinstance(value, CommandEnd)
        note = Note(value.cause, returncode=value.returncode)
        state = JobState.FAILED if value.cause else JobState.SUCCEEDED
        body = msgspec.msgpack.encode([value.argv])
        self._record(index, index + 1, state, (now - self._since) / SECOND, body, note, output)
        if value.is_unstarted:
            self.ran[-1] = replace(self.ran[-1], unstarted=True)
        self.start, self._since = index + 1, now


def _note_bytes(note: Note) -> int:
    return len(note.stdout) + len(note.stderr) + 4 * (len(note.cause) + len(note.traceback))


def _with(note: Note, taken: Taken) -> tuple[Note, Output | None, tuple[int, int]]:
    """The note with what was printed, if that is here; what is in a spool the agent puts there."""
    out, err = taken.output
    if all(isinstance(segment, bytes) for segment in (*out, *err)):
        note = replace(note, stdout=b"".join(out), stderr=b"".join(err))  # type: ignore[arg-type]
        return note, None, taken.lost
    return note, taken.output, taken.lost


def _not_serialized(value: object, reason: object) -> str:
    text = f"the job returned a {type(value).__name__} that cannot be serialized: {reason}"
    try:
        advice = advice_on(value)
    except Exception:  # noqa: BLE001 - to look at a value may run its own code
        advice = ""
    return f"{text}: {advice}" if advice else text


def _too_large(size: int) -> str:
    return f"the job returned {size} bytes; at most {VALUE_BYTES} can be sent"


def _shown(name: bytes) -> str:
    return repr(name.decode("utf-8", "backslashreplace"))


def cause_of(error: BaseException) -> str:
    """The exception in one line."""
    lines = _clean("".join(traceback.format_exception_only(error))).strip().splitlines()
    if not lines:
        return type(error).__name__
    is_foreign = INITIALIZER_NOTE in getattr(error, "__notes__", ())
    first = lines[-1] if isinstance(error, SyntaxError) and not is_foreign else lines[0]
    if MISSING in getattr(error, "__notes__", ()):
        first = f"{first}; {MISSING}"
    return (f"{INITIALIZER_NOTE}: {first}" if is_foreign else first)[:CAUSE_CHARS]


OWN_FOLDER = os.path.dirname(os.path.dirname(__file__)) + os.sep


def _traceback_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(OWN_FOLDER):
        trace = trace.tb_next  # the first frames are the slot's own
    text = clients_paths(_clean("".join(traceback.format_exception(type(error), error, trace))))
    if len(text) <= TRACEBACK_CHARS:
        return text
    half = TRACEBACK_CHARS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters cut ...]\n{text[-half:]}"


def _pickled(error: BaseException) -> bytes:
    """The exception, or nothing if it cannot be pickled or sent: then its text must do."""
    try:
        data = payload.dumps(Raised(error))
    except BaseException:  # noqa: BLE001 - its own __reduce__ may raise anything
        return b""
    return data if len(data) <= VALUE_BYTES else b""


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
