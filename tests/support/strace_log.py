"""What a station told its disk and its peers, in order, as strace saw it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "pwrite64,fdatasync,fsync,sendto,recvfrom"
STRACE = ["strace", "-D", "-f", "-qq", "-yy", "-xx", "-s", "10000000", "-e", f"trace={CALLS}"]
"""The station stays its parent's own child (-D), all threads (-f), sockets by their addresses (-yy), bytes in hex."""

GREETING_BYTES = 64
"""Of ZMTP 3: a connection begins with it, in both directions."""
LONG, COMMAND = 2, 4
"""Flags of a frame."""

_LINE = re.compile(r"(\d+) +(.*)")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_CALL = re.compile(r"(\w+)\((\d+)<(.*?)>(?:,\s*(?:\"([^\"]*)\"|.*?))?\s*[,)].*?(?:= (-?\d+)|$)")
_ADDRESS = re.compile(r"TCP:\[.*->.*\]")


@dataclass(frozen=True)
class Call:
    """One system call: `began` and `ended` are places in the trace."""

    name: str
    file: str
    data: bytes
    result: int
    began: int
    ended: int


def calls(path: Path) -> list[Call]:
    """All of a trace that were not cut off."""
    open_calls: dict[str, tuple[str, int]] = {}
    found: list[Call] = []
    for at, line in enumerate(path.read_text("latin-1").splitlines()):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        pid, text = match.groups()
        began = at
        if text.endswith("<unfinished ...>"):
            open_calls[pid] = (text.removesuffix("<unfinished ...>"), at)
            continue
        if resumed := _RESUMED.fullmatch(text):
            if pid not in open_calls:
                continue
            head, began = open_calls.pop(pid)
            text = head + resumed[2]
        if call := _call(text, began, at):
            found.append(call)
    return sorted(found, key=lambda call: call.began)


def _call(text: str, began: int, ended: int) -> Call | None:
    match = _CALL.match(text)
    if match is None or match[5] is None:
        return None
    data = bytes.fromhex((match[4] or "").replace("\\x", ""))
    file = bytes.fromhex(match[3].replace("\\x", "")).decode() if match[3].startswith("\\x") else match[3]
    return Call(match[1], file, data, int(match[5]), began, ended)


@dataclass
class Stream:
    """One direction of a connection: the messages in it, each with the place where its first byte was given or got."""

    data: bytearray = field(default_factory=bytearray)
    places: list[tuple[int, int]] = field(default_factory=list)
    """Offset in the data, place in the trace."""

    def add(self, data: bytes, place: int) -> None:
        self.places.append((len(self.data), place))
        self.data += data

    def messages(self) -> list[tuple[int, bytes]]:
        """Place and frame of each message."""
        found: list[tuple[int, bytes]] = []
        at = GREETING_BYTES
        while at + 2 <= len(self.data):
            flags = self.data[at]
            body = at + (9 if flags & LONG else 2)
            end = body + int.from_bytes(self.data[at + 1 : body], "big")
            if end > len(self.data):
                break
            if not flags & COMMAND:
                found.append((self._place(at), bytes(self.data[body:end])))
            at = end
        return found

    def _place(self, offset: int) -> int:
        return max(place for start, place in self.places if start <= offset)


def messages(trace: list[Call], name: str) -> list[tuple[int, bytes]]:
    """What went over TCP, one way: the place of its first byte, and the frame, in order."""
    found: dict[str, Stream] = defaultdict(Stream)
    for call in trace:
        if call.name == name and call.result > 0 and _ADDRESS.match(call.file):
            place = call.began if name == "sendto" else call.ended
            found[call.file].add(call.data[: call.result], place)
    return sorted(message for stream in found.values() for message in stream.messages())


def synced(trace: list[Call], suffix: str) -> list[tuple[int, bytes]]:
    """What was written to a file and then synced: the place of the sync's end, and the bytes."""
    found: list[tuple[int, bytes]] = []
    waiting: list[bytes] = []
    for call in trace:
        if not call.file.endswith(suffix):
            continue
        if call.name == "pwrite64":
            waiting.append(call.data)
        elif call.name in {"fdatasync", "fsync"} and call.result == 0:
            found += [(call.ended, data) for data in waiting]
            waiting = []
    return found
