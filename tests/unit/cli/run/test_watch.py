from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.cli.job_output import Shown
from penstock.cli.run.halt import Halt, Tally
from penstock.cli.run.job_inputs import JobInputs, tag_of
from penstock.cli.run.joblog import Ended
from penstock.cli.run.outcome_printer import OutcomePrinter
from penstock.cli.run.wanted_jobs import Numbered
from penstock.cli.run.watch import Interrupts, Watch
from penstock.cli.signals import Told, adopt, exit_code, give_back
from penstock.cli.streams import CannotWrite
from penstock.client.live_output import Onlooker, Seen
from penstock.client.records import FinalState, Outcome


class Jobs:
    """Wanted jobs that come as the test says; those that are cancelled come last."""

    def __init__(self, *states: tuple[int, FinalState]) -> None:
        self.waiting = list(states)
        self.cancelled: list[bool] = []
        self.seen: dict[int, Seen] = {}
        self.earlier: set[int] = set()

    def arriving(self) -> Iterator[Numbered]:
        """As they come."""
        while self.waiting:
            number, state = self.waiting.pop(0)
            text = b"%d" % number
            yield (
                number,
                Outcome(
                    job_id="", index=number, position=1, state=state, returncode=0, stdout=text, stdout_size=len(text)
                ),
            )

    def in_order(self) -> Iterator[Numbered]:
        """In order, as they come."""
        return iter(sorted(self.arriving()))

    def is_earlier(self, number: int) -> bool:
        """Those that had ended before."""
        return number in self.earlier

    def look_on(self, onlooker: Onlooker) -> None:
        """Who shows what running jobs write."""
        self.onlooker = onlooker

    def shown(self, number: int, outcome: Outcome, what: str | None = None) -> Shown:
        """What is left to show of it."""
        return Shown(outcome, lambda *_: iter(()), self.seen.pop(number, (0, 0)), what)

    def whole(self, _: int, outcome: Outcome) -> Shown:
        """All of it."""
        return Shown(outcome, lambda *_: iter(()))

    def cancel(self, *, running: bool) -> None:
        """What has not come is cancelled."""
        self.cancelled.append(running)
        self.waiting = [(number, "cancelled") for number, _ in self.waiting]


class Paper:
    """Progress and record that only remember."""

    def __init__(self) -> None:
        self.out = self.err = b""
        self.failed = self.earlier = 0
        self.ended: list[Ended] = []

    def write(self, stdout: bytes, stderr: bytes = b"") -> None:
        """To both."""
        self.out += stdout
        self.err += stderr

    def interrupted(self) -> None:
        """It has no terminal."""

    def add(self, ended: Any = None, *, failed: bool = False, earlier: bool = False) -> None:
        """One more."""
        self.failed += failed
        self.earlier += earlier
        if ended is not None:
            self.ended.append(ended)


GOOD: FinalState = "succeeded"
BAD: FinalState = "failed"


def watching(
    jobs: Any, paper: Any, *, halt: Halt | None = None, in_order: bool = False, ends_jobs: bool = True, **printed: Any
) -> Watch:
    """Who shows these jobs on this paper."""
    return Watch(jobs, OutcomePrinter(jobs, paper, **printed), Tally(halt), in_order=in_order, ends_jobs=ends_jobs)


@pytest.mark.parametrize("in_order", [False, True])
def test_halt_counts_jobs_as_they_end(in_order: bool) -> None:
    """Also those whose turn to be shown has not come; what is cancelled then is neither shown nor logged."""
    jobs: Any = Jobs((2, GOOD), (1, BAD), (0, GOOD), (3, BAD), (4, GOOD), (5, GOOD))
    paper: Any = Paper()
    inputs = JobInputs(lambda item, number, slot: b"%s %d %d" % (item, number, slot))
    list(inputs.remember(iter([b"item"] * 6)))
    halt = Halt.parse("soon,fail=2")
    code = watching(jobs, paper, in_order=in_order, inputs=inputs, records=[paper.add], halt=halt).to_the_end()
    assert code == 1
    assert (jobs.cancelled, paper.failed) == ([False], 2)
    assert b"--halt: 2 failed" in paper.err
    assert paper.out == (b"0123" if in_order else b"2103")
    assert sorted(ended.number for ended in paper.ended) == [0, 1, 2, 3]
    assert paper.ended[0].shown(7) == b"item %d 7" % (paper.ended[0].number + 1)


@pytest.mark.parametrize(("halt", "code"), [("now,success=1", 0), ("now,done=2", 1), ("never", 1)])
def test_enough_successes_are_success(halt: str, code: int) -> None:
    """Whatever failed before; otherwise one failure is enough for exit code 1."""
    jobs: Any = Jobs((0, BAD), (1, GOOD), (2, GOOD))
    paper: Any = Paper()
    assert watching(jobs, paper, halt=Halt.parse(halt)).to_the_end() == code
    assert jobs.cancelled == ([] if halt == "never" else [True])


def test_an_outcome_that_comes_again_is_shown_once() -> None:
    """As after Ctrl-C in the middle of it, when its reader begins with it again."""
    jobs: Any = Jobs((0, BAD), (0, BAD), (1, GOOD))
    paper: Any = Paper()
    assert watching(jobs, paper, halt=Halt.parse("soon,fail=2")).to_the_end() == 1
    assert (paper.out, paper.failed, jobs.cancelled) == (b"01", 1, [])


@pytest.mark.parametrize("in_order", [False, True])
def test_what_was_shown_of_a_running_job_is_not_shown_again(in_order: bool) -> None:
    """Its outcome begins behind it, records have all of it, and where there is an order a job waits for its turn."""
    jobs: Any = Jobs((0, GOOD), (1, GOOD))
    paper: Any = Paper()
    inputs = JobInputs(lambda *_: b"", tag_of)
    list(inputs.remember(iter([[b"a"], [b"b"]])))
    watch = watching(jobs, paper, in_order=in_order, inputs=inputs, records=[paper.add])
    assert (watch.is_turn(0), watch.is_turn(1)) == (True, not in_order)
    if not in_order:
        watch.show(1, b"early\n", b"")
    watch.show(0, b"first\n", b"error\n")
    watch.shown()
    jobs.seen = {1: (1, 0)}
    watch.to_the_end()
    assert paper.out == (b"" if in_order else b"b\tearly\n") + b"a\tfirst\n" + b"a\t0"
    assert paper.err == b"a\terror\n"
    assert [b"".join(ended.printed.stdout()) for ended in paper.ended] == [b"0", b"1"]


@pytest.mark.parametrize(
    ("commands", "out", "err"), [((True, False), b"t\t0 1 a\n", b""), ((False, True), b"", b"t\t0 1 a\n")]
)
def test_a_command_is_said_once_before_what_it_prints(commands: tuple[bool, bool], out: bytes, err: bytes) -> None:
    """`-v` on stdout and `-t` on stderr, behind the tag, with the first line that is shown of it or at its end."""
    jobs: Any = Jobs((0, GOOD))
    paper: Any = Paper()
    inputs = JobInputs(lambda item, number, slot: b"%d %d %s" % (number - 1, slot, item[0]), lambda _, __: b"t")
    list(inputs.remember(iter([[b"a"]])))
    watch = watching(jobs, paper, inputs=inputs, commands=commands)
    watch.show(0, b"line\n", b"")
    watch.show(0, b"line\n", b"")
    watch.shown()
    jobs.seen = {0: (1, 0)}
    watch.to_the_end()
    assert (paper.out, paper.err) == (out + b"t\tline\n" * 2, err)


class Interrupted(Jobs):
    """Jobs whose reader is interrupted, each time it waits for what comes next, by one of these."""

    def __init__(self, *ends: BaseException) -> None:
        super().__init__((0, GOOD), (1, GOOD))
        self.ends = list(ends)

    def arriving(self) -> Iterator[Numbered]:
        """The first, then the interruptions, then what is left of the others."""
        for number, outcome in super().arriving():
            yield number, outcome
            if self.ends:
                raise self.ends.pop(0)


@pytest.mark.parametrize(
    ("ends", "cancelled", "code"),
    [
        ([KeyboardInterrupt()], [False], 130),
        ([KeyboardInterrupt(), KeyboardInterrupt()], [False, True], 130),
        ([KeyboardInterrupt(), Told(15)], [False, True], 143),
        ([Told(15)], [True], 143),
        ([Told(1)], [True], 129),
    ],
)
def test_who_is_told_to_end_ends_jobs_as_gently_as_he_is_told(
    ends: list[BaseException], cancelled: list[bool], code: int
) -> None:
    """One Ctrl-C lets them finish; a second one, SIGTERM and SIGHUP end them, and what comes until then is awaited."""
    jobs: Any = Interrupted(*ends)
    assert watching(jobs, Paper()).to_the_end() == code
    assert (jobs.cancelled, jobs.waiting) == (cancelled, [])


def test_one_signal_more_leaves_at_once() -> None:
    """Whoever sends it is out of patience."""
    jobs: Any = Interrupted(Told(15), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        watching(jobs, Paper()).to_the_end()


def test_who_only_looks_on_ends_no_jobs() -> None:
    """`submit --wait` is left, and its jobs go on."""
    jobs: Any = Interrupted(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        watching(jobs, Paper(), ends_jobs=False).to_the_end()
    assert jobs.cancelled == []


@pytest.mark.parametrize("error", [BrokenPipeError(), CannotWrite("stdout", OSError(28, "No space left on device"))])
def test_jobs_whose_output_nobody_takes_are_ended(error: Exception) -> None:
    """Nothing is written any more, and the error comes when they are gone; a SIGHUP in between changes nothing."""
    jobs: Any = Interrupted()
    paper: Any = Paper()

    def fails(stdout: bytes, stderr: bytes = b"") -> None:
        jobs.ends = [Told(1)]
        raise error

    paper.write = fails
    with pytest.raises(type(error)):
        watching(jobs, paper).to_the_end()
    assert jobs.cancelled
    assert all(jobs.cancelled)
    assert jobs.waiting == []


def test_what_ended_before_halts_nothing() -> None:
    """A run that goes on shows earlier failures; its own count, and earlier successes count with them."""
    jobs: Any = Jobs((0, BAD), (1, BAD), (2, GOOD), (3, BAD), (4, GOOD))
    jobs.earlier = {0, 1, 2}
    paper: Any = Paper()
    assert watching(jobs, paper, halt=Halt.parse("soon,fail=2")).to_the_end() == 1
    assert (jobs.cancelled, paper.failed) == ([], 3)
    jobs = Jobs((0, GOOD), (1, GOOD), (2, GOOD), (3, GOOD))
    jobs.earlier = {0, 1}
    assert watching(jobs, Paper(), halt=Halt.parse("soon,success=2")).to_the_end() == 0
    assert (jobs.cancelled, jobs.waiting) == ([False], [])


def test_a_job_is_logged_when_it_was_shown() -> None:
    """By its place in the whole input; of what it was given only what is kept is told."""
    paper: Any = Paper()
    inputs = JobInputs(lambda item, at, _: b"%s %d" % (item, at), None, lambda place: place + 40, lambda item: item[:2])
    list(inputs.remember(iter([b"first", b"second"])))

    def log(ended: Ended) -> None:
        """Looks at what was shown before."""
        seen.append((ended.number, ended.shown(1), paper.out))

    seen: list[Any] = []
    jobs: Any = Jobs((0, GOOD), (1, GOOD))
    watching(jobs, paper, inputs=inputs, records=[log]).to_the_end()
    assert seen == [(40, b"fi 41", b"0"), (41, b"se 42", b"01")]


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, however the tests were started."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_it_waits_until_what_has_begun_is_shown() -> None:
    """Then it comes, once."""
    with Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.release()
        interrupts.hold()
        interrupts.release()


def test_nothing_holds_back_a_second_one() -> None:
    """What is shown may hang; and while nothing is shown the first one comes at once."""
    with Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_is_held_back_likewise_and_says_what_it_is() -> None:
    """Its exit code is that of its number, and who ignores a signal, as under nohup, goes on doing so."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    adopt()
    with Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(Told) as told:
            interrupts.release()
    assert (exit_code(told.value), exit_code(KeyboardInterrupt())) == (143, 130)
    with pytest.raises(Told):
        signal.raise_signal(signal.SIGTERM)
    give_back()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == (signal.SIG_DFL, signal.SIG_IGN)
