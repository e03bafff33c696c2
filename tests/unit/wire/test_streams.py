"""Streams of parts, over a link that a test makes as bad as it likes."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from penstock.errors import ProtocolError
from penstock.wire.records import Part
from penstock.wire.streams import (
    PART_BYTES_LEAST,
    PART_BYTES_MOST,
    STALLED_SECONDS,
    WINDOW_FIRST,
    WINDOW_MOST,
    Assembly,
    Progress,
    Sent,
    Stream,
    Window,
)

MBIT = 1e6 / 8


class Link:
    """A stream to an assembly over a link of so many bytes a second, of whose bytes each waits for those before it."""

    def __init__(self, rate: float, latency: float = 0.0) -> None:
        self.rate, self.latency = rate, latency
        self.now = 0.0
        self.stream = Stream(1, self.now)
        self.assembly = Assembly()
        self.frames: list[bytes] = []
        self.carried = 0
        self.queued_most = 0.0
        """Seconds that a heartbeat would have waited behind parts, at most."""
        self._free_at = 0.0

    def send(self, *frames: bytes) -> None:
        """All of it arrives, as fast as the link is."""
        for frame in frames:
            self.stream.add([frame[:9], frame[9:]], self.now)
        under_way: list[tuple[float, Sent]] = []
        while self.stream.is_busy:
            for sent in self.stream.due(self.now):
                self._free_at = max(self._free_at, self.now) + sent.part.size / self.rate
                under_way.append((self._free_at + self.latency, sent))
                self.carried += sent.part.size
            self.queued_most = max(self.queued_most, self._free_at - self.now)
            self.now, sent = under_way.pop(0)
            whole = self.assembly.put(sent.part, b"".join(sent.body))
            self.frames += [] if whole is None else [bytes(whole)]
            self.now += self.latency
            self.stream.arrived(self.assembly.number, self.assembly.position, self.now)


@pytest.mark.parametrize("latency", [0.0, 0.3])
@pytest.mark.parametrize("rate", [MBIT, 10 * MBIT, 100 * MBIT, 1e9])
def test_heartbeats_fit_between_parts_and_the_link_is_used(rate: float, latency: float) -> None:
    """Nothing that else uses the link waits for as long as a heartbeat may be late, 1.5 s, and a long message takes
    hardly longer than its bytes do, however slow the link is and however far."""
    link = Link(rate, latency)
    frame = bytes(int(min(max(2e6, rate * 4), 64e6)))
    link.send(frame)
    assert link.frames == [frame]
    assert link.carried == len(frame), "nothing is sent twice"
    assert link.queued_most < 1.0
    # a window of the first size doubles with each way there and back
    assert link.now < 1.2 * len(frame) / rate + 2 * latency * 9 + max(0, len(frame) / WINDOW_MOST) * 2 * latency


def test_how_far_a_frame_is_can_be_seen_at_both_ends() -> None:
    """Of the first one that is not there; each byte counts for its own frame."""
    stream, assembly = Stream(1, 0.0), Assembly()
    assert stream.progress is assembly.progress is None
    sizes = (100_000, 50_000)
    for size in sizes:
        stream.add([bytes(size)], 0.0)
    done = 0
    while due := stream.due(0.0):
        for sent in due:
            assembly.put(sent.part, b"".join(sent.body))
            stream.arrived(1, assembly.position, 0.0)
            done += sent.part.size
            here, size = (done, sizes[0]) if done < sizes[0] else (done - sizes[0], sizes[1])
            assert stream.progress == (Progress(here, size) if done < sum(sizes) else None)
            assert assembly.progress == (Progress(here, size) if here and stream.progress else None)
    assert done == sum(sizes)


def test_a_window_is_as_large_as_the_link_carries_in_a_moment() -> None:
    """It grows while parts arrive at once, to a bound, and halves once for all that waited too long."""
    window = Window()
    assert window.size == WINDOW_FIRST
    for _ in range(100):
        window.arrived(PART_BYTES_MOST, 0.0, 0.1)
    assert window.size == WINDOW_MOST
    for _ in range(3):
        window.arrived(PART_BYTES_MOST, 1.0, 2.0)
    assert window.size == WINDOW_MOST // 2
    for at in range(3, 40, 2):
        window.arrived(PART_BYTES_LEAST, at, at + 1.5)
    assert window.size == PART_BYTES_LEAST


frames = st.lists(st.integers(1, 200_000), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(sizes=frames, data=st.data())
def test_frames_arrive_whole_in_order_and_once(sizes: list[int], data: st.DataObject) -> None:
    """Whatever of the parts and of what acknowledges them is lost, doubled or late; and no more is under way than the
    window."""
    now = 0.0
    stream, assembly = Stream(5, now), Assembly()
    sent = [bytes([at]) * size for at, size in enumerate(sizes, 1)]
    for frame in sent:
        stream.add([frame[:9], frame[9:]], now)
    came: list[bytes] = []
    under_way: list[Sent] = []
    for _ in range(10_000):
        if not stream.is_busy:
            break
        under_way += stream.due(now)
        assert sum(part.size for part in {one.part for one in under_way}) <= WINDOW_MOST
        fate = data.draw(st.sampled_from(["arrives", "arrives", "arrives", "twice", "lost", "late", "unheard"]))
        if not under_way:
            now += STALLED_SECONDS * 40
            continue
        part, body, _ = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)) if fate == "late" else 0)
        for _ in range({"lost": 0, "twice": 2}.get(fate, 1)):
            whole = assembly.put(part, b"".join(body))
            came += [] if whole is None else [bytes(whole)]
        if fate != "unheard":
            stream.arrived(assembly.number, assembly.position, now)
    assert came == sent


def test_a_new_stream_gives_up_what_was_left_of_the_old_one() -> None:
    """Half a frame of a connection that was lost is never put together with what the next one brings."""
    assembly = Assembly()
    assert assembly.put(Part(1, 0, 2, 3), b"old") is None
    assert assembly.put(Part(2, 3, 0, 2), b"??") is None, "not the beginning of anything"
    assert assembly.put(Part(2, 0, 2, 1), b"n") is None
    assert assembly.put(Part(1, 3, 0, 2), b"??") is None
    assert bytes(assembly.put(Part(2, 1, 0, 2), b"ew") or b"") == b"new"


def test_of_a_frame_that_is_too_large_nothing_is_kept() -> None:
    """Its first part already says how much follows."""
    assembly = Assembly(most=10)
    with pytest.raises(ProtocolError, match="a message of 11 bytes in parts, more than 10"):
        assembly.put(Part(1, 0, 6, 5), b"12345")
    assert assembly.position == 0
    assert bytes(assembly.put(Part(2, 0, 0, 5), b"12345") or b"") == b"12345"


def test_what_does_not_arrive_is_sent_again_ever_more_rarely() -> None:
    """A receiver whose disk stands still is not made slower by that."""
    stream = Stream(1, 0.0)
    stream.add([b"x"], 0.0)
    (first,) = stream.due(0.0)
    assert stream.due(STALLED_SECONDS - 0.1) == []
    assert [one.part for one in stream.due(STALLED_SECONDS)] == [first.part]
    assert stream.due(2 * STALLED_SECONDS - 0.1) == []
    assert [one.part for one in stream.due(2 * STALLED_SECONDS)] == [first.part]
    stream.arrived(1, 1, 2 * STALLED_SECONDS)
    assert not stream.is_busy
