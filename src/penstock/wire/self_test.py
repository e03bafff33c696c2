"""The self-test of keys: a station tries its own doors before it serves anybody; and anybody can try another's.

ZAP fails open: a domain that is not set or a handler that does not answer lets everybody in, and nothing says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import zmq

from penstock.errors import ConfigError
from penstock.keys.files import KeyFile
from penstock.wire.guard import HANDSHAKE_FAILED, HANDSHAKE_SUCCEEDED, PEERS, Guard, Security, event_of, new_pair

SELF_TEST_TIME = 30.0
"""Seconds it may take: a thousand times what it takes on an idle machine."""


def self_test(context: zmq.Context[zmq.Socket[bytes]], guard: Guard, doors: Mapping[str, str]) -> None:
    """Knock at each of these (name to endpoint) as a stranger, without a key, and as oneself.

    ConfigError: somebody got in who must not, or nobody did.
    """
    key, throwaway = guard.key, new_pair()
    guard.throwaway = throwaway[0]
    knocks: list[Knock] = []
    try:
        for name, bound in doors.items():
            endpoint = bound.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
            nobody = msgspec.structs.replace(key, public=throwaway[0], secret=throwaway[1])
            knocks.append(Knock(context, name, endpoint, nobody, "a throw-away key", welcome=False))
            knocks.append(Knock(context, name, endpoint, None, "a peer without a key", welcome=False))
            knocks.append(Knock(context, name, endpoint, key, "its own key", welcome=True))
        for knock, let_in in _answers(knocks, SELF_TEST_TIME, guard):
            if let_in is None:
                raise ConfigError(f"the self-test of the keys failed: {knock} got no answer; nothing is started")
            if let_in is not knock.welcome:
                said = "was refused" if knock.welcome else "was let in"
                raise ConfigError(f"the self-test of the keys failed: {knock} {said}; nothing is started")
    finally:
        for knock in knocks:
            knock.close()
        guard.throwaway = ""


def try_doors(doors: Mapping[str, str], key: KeyFile | None, limit: float) -> dict[str, bool]:
    """Knock at each of these (name to endpoint): whether one is let in within `limit` seconds."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    knocks = {name: Knock(context, name, endpoint, key, "", welcome=True) for name, endpoint in doors.items()}
    try:
        let_in = dict(_answers(knocks.values(), limit))
        return {name: bool(let_in[knock]) for name, knock in knocks.items()}
    finally:
        for knock in knocks.values():
            knock.close()
        context.term()


def _answers(knocks: Iterable[Knock], limit: float, guard: Guard | None = None) -> Iterator[tuple[Knock, bool | None]]:
    """Each of these with whether it was let in, as soon as that is known; with None if it is not within `limit`
    seconds. The `guard` answers meanwhile."""
    poller = zmq.Poller()
    waiting = {knock.monitor: knock for knock in knocks}
    for socket in waiting if guard is None else (guard.socket, *waiting):
        poller.register(socket, zmq.POLLIN)
    end = time.monotonic() + limit
    while waiting and (left := end - time.monotonic()) > 0:
        for item, _ in poller.poll(int(left * 1000)):
            if guard is not None and item is guard.socket:
                guard.answer()
            elif (let_in := waiting[item].was_let_in()) is not None:
                poller.unregister(item)
                yield waiting.pop(item), let_in
    yield from ((knock, None) for knock in waiting.values())


class Knock:
    """One try to get in at a socket."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        name: str,
        endpoint: str,
        key: KeyFile | None,
        who: str,
        *,
        welcome: bool,
    ) -> None:
        self.welcome = welcome
        self._text = f"{who} at {name} ({endpoint})"
        self._socket = context.socket(PEERS[name])
        self._socket.set(zmq.LINGER, 0)
        if not welcome:
            self._socket.set(zmq.RECONNECT_IVL, -1)
        self._socket.set(zmq.IPV6, 1 if "[" in endpoint else 0)
        Security(key).on_connect(self._socket, name)
        self.monitor: zmq.Socket[bytes] = self._socket.get_monitor_socket(
            HANDSHAKE_SUCCEEDED | HANDSHAKE_FAILED | zmq.Event.DISCONNECTED
        )
        self.monitor.set(zmq.LINGER, 0)
        self._socket.connect(endpoint)

    def __str__(self) -> str:
        return self._text

    def was_let_in(self) -> bool | None:
        """What the monitor says; None: a busy machine let the handshake's time pass, which refuses a stranger, and
        oneself only for now."""
        event, _ = event_of(self.monitor.recv_multipart())
        if event == HANDSHAKE_SUCCEEDED:
            return True
        is_final = event in {zmq.Event.HANDSHAKE_FAILED_AUTH, zmq.Event.HANDSHAKE_FAILED_PROTOCOL}
        return None if self.welcome and not is_final else False

    def close(self) -> None:
        """Close the sockets of the test and leave nothing behind."""
        self._socket.disable_monitor()
        self.monitor.close(0)
        self._socket.close(0)
