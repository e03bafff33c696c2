"""Damaged and foreign bytes at everything that decodes what came from outside: nothing but the errors that are meant.

scripts/fuzz --minutes 30      half an hour; scripts/test does a minute

Each decoder is given valid messages of each of its types, such with damage, and plain msgpack of any shape, by
hypothesis, which cuts down what fails. Nothing here is unpickled. What is raised must be the decoder's own error, and
what was decoded must encode again. Memory is watched: it must not grow, and no input of a few KB may cost many MB.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzz_inputs import Decode, damaged, packed, plain, valid
from penstock.errors import ConfigError, ProtocolError
from penstock.job import payload, shipped_modules
from penstock.job.command import CommandTemplate
from penstock.job.spec import BatchSpec
from penstock.keys import files
from penstock.keys.roles import Role
from penstock.slot import journal, protocol
from penstock.slot.protocol import Ran
from penstock.url import endpoints
from penstock.wire import desk_messages, frames, messages, records
from penstock.wire.frames import PREFIX, SIGNATURE

EXAMPLES = 100
"""Of each decoder in a round: some seconds a round."""
DAMAGES = 30
"""Of each example."""
GROWTH_MIB = 48
"""Of resident memory after the first rounds: caches and an allocator's arenas."""
PEAK_MIB = 600
"""Of resident memory at any time: the interpreter, hypothesis and what one input may cost."""
WARM_ROUNDS = 2

MEANT = (ValueError, RecursionError)
"""What msgspec raises of bytes that it cannot decode; whoever calls it so expects both."""

UNIONS = {
    "client to ventilator": desk_messages.ClientToVentilator,
    "ventilator to client": desk_messages.VentilatorToClient,
    "to ventilator": messages.ToVentilator,
    "ventilator to worker": messages.VentilatorToWorker,
    "ventilator to sink": messages.VentilatorToSink,
    "worker to sink": messages.WorkerToSink,
    "client to sink": messages.ClientToSink,
    "sink to client": messages.SinkToClient,
}


class Target(NamedTuple):
    """A decoder, what it is to be given, and what it may raise."""

    name: str
    inputs: st.SearchStrategy[bytes]
    decode: Decode
    raises: tuple[type[Exception], ...]


def targets(folder: Path) -> Iterator[Target]:
    """All of them."""
    for name, union in UNIONS.items():
        yield Target(
            name, st.one_of(framed(valid(union)), framed(plain()), st.binary()), frame_of(union), (ProtocolError,)
        )
    yield Target("number", framed(valid(desk_messages.ClientToVentilator)), frames.asked_number, ())
    for name, union, decoder in (
        ("agent to slot", protocol.ToSlot, protocol.to_slot.decode),
        ("slot to agent", protocol.FromSlot, protocol.from_slot.decode),
    ):
        yield Target(name, either(valid(union)), decoder, MEANT)
    yield Target("journal", either(valid(tuple[Ran, bytes])), journal_of(protocol.Page.create()), (ProtocolError,))
    yield Target("template", either(valid(CommandTemplate)), argv_of, MEANT)
    yield Target("spec", either(valid(BatchSpec)), decoding(BatchSpec), MEANT)
    yield Target("commands", either(valid(list[list[bytes]])), payload.load_commands, MEANT)
    yield Target("chunk", either(valid(tuple[str, list[int]])), chunk_of, (*MEANT, TypeError))
    yield Target("modules", st.one_of(modules(), st.binary()), shipped_modules.unpack, (ValueError,))
    yield Target("key file", json_of(files.KeyFile), file_of(folder, "some.key", load_key), (ConfigError,))
    yield Target("peers", json_of(list[files.Entry]), file_of(folder, files.LIST, load_peers), (ConfigError,))
    yield Target("url", st.text().map(lambda text: f"tcp://{text}".encode()), url_of, (ConfigError,))


def framed(header: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Frames whose prefix fits, with a payload that fits where there is to be one of a bearable size."""

    def frame(made: Any) -> bytes:
        data = msgspec.msgpack.encode(made)
        size = messages.payload_bytes(made) if isinstance(made, records.Message) else 0
        return PREFIX.pack(SIGNATURE, len(data)) + data + bytes(min(size, 100))

    return header.map(frame)


def either(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Valid ones, plain msgpack, and bytes."""
    return st.one_of(packed(strategy), packed(plain()), st.binary())


def modules() -> st.SearchStrategy[bytes]:
    """Archives of modules, and of what is none."""
    return st.one_of(valid(list[shipped_modules.Source]).map(shipped_modules.pack), either(plain()).map(zlib.compress))


def json_of(kind: Any) -> st.SearchStrategy[bytes]:
    """Files in JSON."""
    finite = st.recursive(
        st.none() | st.integers() | st.text(), lambda some: st.lists(some) | st.dictionaries(st.text(), some)
    )
    return st.one_of(valid(kind).map(msgspec.json.encode), finite.map(msgspec.json.encode), st.binary())


def frame_of(union: Any) -> Decode:
    """Decodes a frame; what it holds must encode again and be the same."""
    decoder = frames.Decoder(union)

    def decode(data: bytes) -> object:
        wire = decoder.decode(data)
        frame = frames.encode(wire.message, wire.payload)
        again = decoder.decode(frame)
        same = frames.encode(again.message, again.payload) == frame  # as bytes: NaN is not equal to itself
        assert same, "what was decoded encodes to something else"
        return wire

    return decode


def journal_of(page: protocol.Page) -> Decode:
    """As what a slot that is gone has left, in entries of any number."""

    def decode(data: bytes) -> object:
        page.journal[: len(data)] = data
        page.cells[protocol.SAVED] = min(len(data), data[0] if data else 0) * journal.ONE + len(data)
        return journal.saved(page, 1, 100, "pickle", 0.0, 1.0)

    return decode


def decoding(kind: Any) -> Decode:
    """As msgpack of this type."""
    return msgspec.msgpack.Decoder(kind).decode


def argv_of(data: bytes) -> object:
    """A template, filled in."""
    template = CommandTemplate.decode(data)
    return template.argv([b"a b", b"c.d"], 3, 4)


def chunk_of(data: bytes) -> object:
    """Arguments that are no pickles, adapted to a function."""
    form, items = payload.load_chunk(data, "msgpack")
    run = payload.adapted(lambda *_, **__: None, form, "msgpack")
    for item in items:
        with contextlib.suppress(TypeError, IndexError, KeyError, ValueError):
            run(item)  # the job fails, nothing else
    return items


def url_of(data: bytes) -> object:
    """The endpoints of a URL."""
    return endpoints(data.decode("utf-8", "replace"))


def load_key(folder: Path) -> object:
    """A key file, for any role."""
    return files.load(folder / "some.key", *Role)


def load_peers(folder: Path) -> object:
    """The list of keys."""
    return files.load_peers(folder)


def file_of(folder: Path, name: str, load: Any) -> Decode:
    """Decodes what lies in a file of that name."""

    def decode(data: bytes) -> object:
        path = folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return load(folder)

    return decode


class WrongError(AssertionError):
    """A decoder raised what it must not, or changed what it decoded."""


def attempt(target: Target, data: bytes) -> None:
    """Decode, and expect nothing but the errors that are meant."""
    with contextlib.suppress(*target.raises):
        try:
            target.decode(data)
        except target.raises:
            raise
        except Exception as error:
            raise WrongError(
                f"{target.name}: {type(error).__name__}: {error}; the bytes: {data.hex()[:400]}"
            ) from error


def a_round(target: Target, number: int, examples: int) -> int:
    """Some examples and what damage makes of them; returns how many inputs there were."""
    count = 0

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(target.inputs, st.integers(0, 2**32))
    def run(data: bytes, damage: int) -> None:
        nonlocal count
        rng = random.Random(damage)
        attempt(target, data)
        for _ in range(DAMAGES):
            attempt(target, damaged(data, rng))
        count += 1 + DAMAGES

    run()
    return count


def fuzz(minutes: float, number: int, folder: Path) -> int:
    """Rounds until the time is over; returns how many inputs there were."""
    end, count, rounds, base = time.monotonic() + 60 * minutes, 0, 0, 0.0
    while time.monotonic() < end:
        for target in targets(folder):
            if time.monotonic() < end or not rounds:
                count += a_round(target, number + rounds, EXAMPLES)
        rounds += 1
        resident = psutil.Process().memory_info().rss / (1 << 20)
        if rounds == WARM_ROUNDS:
            base = resident
        if rounds > WARM_ROUNDS and resident > base + GROWTH_MIB:
            raise WrongError(f"memory grew from {base:.0f} to {resident:.0f} MiB in {rounds} rounds")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if peak > PEAK_MIB:
            raise WrongError(f"{peak:.0f} MiB at one time: some input of a few KB costs too much")
    print(f"{count} inputs in {rounds} rounds, {resident:.0f} MiB resident, at most {peak:.0f}: nothing went wrong")
    return count


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long it goes on (1)")
    parser.add_argument("--seed", type=int, default=struct.unpack("I", os.urandom(4))[0], help="random if not given")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="penstock-fuzz-") as folder:
        Path(folder).chmod(0o700)
        try:
            fuzz(asked.minutes, asked.seed, Path(folder))
        except WrongError as error:
            print(f"WRONG: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
