"""A long way between hosts: what is sent through it, each way, arrives later.

``python delay_proxy.py FILE PORT=HOST:PORT ...`` forwards TCP connections. FILE says by how many milliseconds at that
moment. How much can be under way is not limited."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

CHUNK_BYTES = 1 << 18
LOOK_INTERVAL = 0.05
"""Seconds between two looks at the file."""


class Way:
    """What lies between all of them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds = 0.0

    async def look(self) -> None:
        """Do as the file says, for ever."""
        while True:
            with contextlib.suppress(OSError, ValueError):
                self._seconds = int(self._file.read_text()) / 1000
            await asyncio.sleep(LOOK_INTERVAL)

    async def connect(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter, host: str, port: int) -> None:
        """Forward a connection until one side ends it."""
        try:
            far, far_out = await asyncio.open_connection(host, port, limit=CHUNK_BYTES)
        except OSError:
            near_out.transport.abort()
            return
        ways = [asyncio.ensure_future(self._carry(near, far_out)), asyncio.ensure_future(self._carry(far, near_out))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for out in (near_out, far_out):
            out.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.ensure_future(self._arrive(under_way, target))
        clock = asyncio.get_running_loop().time
        try:
            more = True
            while more:
                data = b""
                with contextlib.suppress(OSError):
                    data = await source.read(CHUNK_BYTES)
                more = bool(data)
                under_way.put_nowait((clock() + self._seconds, data))
            await arriving
        finally:
            arriving.cancel()

    @staticmethod
    async def _arrive(under_way: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await under_way.get()
            if due > clock():
                await asyncio.sleep(due - clock())
            if not data:
                return
            with contextlib.suppress(OSError):
                target.write(data)
                await target.drain()


async def main(file: Path, routes: list[str]) -> None:
    """Listen at every port and forward, for ever."""
    way = Way(file)
    for route in routes:
        port, _, place = route.partition("=")
        host, _, there = place.rpartition(":")
        await asyncio.start_server(
            lambda near, out, host=host, there=there: way.connect(near, out, host, int(there)),  # type: ignore[misc]
            "0.0.0.0",
            int(port),
            limit=CHUNK_BYTES,
        )
    await way.look()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
