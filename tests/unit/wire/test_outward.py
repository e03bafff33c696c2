"""Sockets that connect to names: nobody waits for the resolver, and a name is followed to where it is."""

from __future__ import annotations

import select
import threading
from collections import Counter
from collections.abc import Iterator
from socket import AddressFamily
from types import SimpleNamespace

import pytest

from penstock.wire import outward as module
from penstock.wire.bind_address import addresses_of
from penstock.wire.guard import News
from penstock.wire.outward import ADDRESS_TIME, ASK_INTERVAL, Outward

LIMIT_MILLIS = 60_000
"""For an answer that is on its way."""
HEAD, OTHER = "tcp://head.test:22120", "tcp://other.test:22120"


class Socket:
    """Where it connects to."""

    def __init__(self) -> None:
        self.at: list[str] = []

    def connect(self, endpoint: str) -> None:
        """Connect there, again and again."""
        self.at.append(endpoint)

    def disconnect(self, endpoint: str) -> None:
        """Connect there no more."""
        self.at.remove(endpoint)


class Names:
    """What the resolver says of each name; of one that is not `known` nothing, until it is."""

    def __init__(self) -> None:
        self.known: dict[str, list[str] | OSError] = {}
        self.asked: Counter[str] = Counter()
        self.changed = threading.Condition()

    def say(self, host: str, *addresses: str) -> None:
        """From now on it has these; none: it is no name."""
        with self.changed:
            self.known[host] = list(addresses) or OSError(-2, "Name or service not known")
            self.changed.notify_all()

    def addresses_of(self, host: str) -> list[str]:
        """Of a name: this may take as long as the resolver does."""
        assert threading.current_thread() is not threading.main_thread(), "who has something to do does not wait here"
        with self.changed:
            self.asked[host] += 1
            self.changed.wait_for(lambda: host in self.known)
            found = self.known[host]
        if isinstance(found, OSError):
            raise found
        return found


class Bench:
    """The sockets of a process that connect, beside a resolver and a clock that a test has in its hands."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.now = 0.0
        self.up: set[str] = set()
        self.news = News()
        self.outward = Outward(lambda name: name in self.up, self.news)
        self.sockets: dict[str, Socket] = {}

    def add(self, name: str, endpoint: str) -> Socket:
        """One more that is to connect there."""
        socket = self.sockets[name] = Socket()
        self.outward.add(name, socket, endpoint)
        return socket

    def answered(self) -> None:
        """Wait for an answer, and take in what there is."""
        assert self.outward.resolver is not None
        poll = select.poll()
        poll.register(self.outward.resolver.fd, select.POLLIN)
        assert poll.poll(LIMIT_MILLIS)
        self.outward.take()

    def look(self, seconds: float = ASK_INTERVAL) -> None:
        """So much later."""
        self.now += seconds
        self.outward.look()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Nothing is known of any name; in the end everything is, so that no thread is left."""
    names = Names()
    made = Bench(names)
    monkeypatch.setattr(module, "addresses_of", names.addresses_of)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now))
    yield made
    for host in ("head.test", "other.test"):
        names.say(host, "192.0.2.9")
    for thread in threading.enumerate():
        if thread.name == "penstock-names":
            thread.join(LIMIT_MILLIS / 1000)
            assert not thread.is_alive()
    made.outward.close()


def test_nobody_waits_for_a_resolver_that_hangs(bench: Bench) -> None:
    """Addresses are used at once, other names when they are known."""
    waits = bench.add("waits", HEAD)
    assert bench.add("at once", "tcp://192.0.2.1:22121").at == ["tcp://192.0.2.1:22121"]
    other = bench.add("other", OTHER)
    bench.names.say("other.test", "192.0.2.2")
    bench.answered()
    assert (waits.at, other.at) == ([], ["tcp://192.0.2.2:22120"])
    assert bench.outward.down(["waits"]) == f"{HEAD} (waits)"


def test_where_there_are_only_addresses_nobody_is_asked(bench: Bench) -> None:
    """There is no thread, and no file to poll."""
    for number, endpoint in enumerate(["tcp://192.0.2.1:1", "tcp://[2001:db8::1]:1", "ipc:///tmp/x/desk"]):
        assert bench.add(str(number), endpoint).at == [endpoint]
    assert bench.outward.resolver is None
    assert bench.outward.patience() is None


def test_of_a_name_one_question_is_open(bench: Bench) -> None:
    """However many sockets wait for the answer, and however long it takes; all of them use it."""
    sockets = [bench.add(name, HEAD) for name in ("one", "two")]
    for _ in range(3):
        bench.look()
    bench.names.say("head.test", "192.0.2.1")
    bench.answered()
    assert bench.names.asked["head.test"] == 1
    assert [socket.at for socket in sockets] == [["tcp://192.0.2.1:22120"]] * 2
    assert bench.add("three", HEAD).at == ["tcp://192.0.2.1:22120"]


def test_who_is_not_connected_follows_its_name(bench: Bench) -> None:
    """To another address, which is told; who is connected stays where it is, and asks for nothing."""
    bench.names.say("head.test", "192.0.2.1")
    socket = bench.add("one", HEAD)
    bench.answered()
    bench.names.say("head.test", "192.0.2.2")
    bench.up.add("one")
    bench.look()
    assert bench.outward.patience() is None
    assert bench.names.asked["head.test"] == 1
    bench.up.clear()
    assert bench.outward.patience() == ASK_INTERVAL
    bench.look()
    bench.answered()
    assert socket.at == ["tcp://192.0.2.2:22120"]
    moved = {"endpoint": HEAD, "address": "192.0.2.2", "before": "192.0.2.1"}
    assert bench.news.take() == [("other_address", moved)]


def test_it_is_asked_for_at_an_interval(bench: Bench) -> None:
    """As often as a station that is away is tried, and not at each look."""
    bench.names.say("head.test", "192.0.2.1")
    bench.add("one", HEAD)
    bench.answered()
    bench.look(ASK_INTERVAL / 2)
    assert bench.names.asked["head.test"] == 1
    bench.look(ASK_INTERVAL / 2)
    bench.answered()
    assert bench.names.asked["head.test"] == 2


def test_of_several_addresses_each_has_its_time(bench: Bench) -> None:
    """In the order of the answer, the first one again behind the last."""
    addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::3"]
    bench.names.say("head.test", *addresses)
    socket = bench.add("one", HEAD)
    bench.answered()
    seen = []
    for _ in range(4):
        seen += socket.at
        bench.look()
        bench.answered()
        assert socket.at == seen[-1:], "it has not had its time"
        bench.look(ADDRESS_TIME)
        bench.answered()
    assert seen == [f"tcp://{host}:22120" for host in ("192.0.2.1", "192.0.2.2", "[2001:db8::3]", "192.0.2.1")]


def test_the_older_protocol_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv4 before IPv6, else in the resolver's order, each once."""
    found = ["2001:db8::3", "192.0.2.2", "192.0.2.1", "2001:db8::2", "192.0.2.2"]
    families = [AddressFamily.AF_INET6 if ":" in one else AddressFamily.AF_INET for one in found]
    entries = [(family, 1, 6, "", (host, 0)) for family, host in zip(families, found, strict=True)]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: entries)
    assert addresses_of("head.test") == ["192.0.2.2", "192.0.2.1", "2001:db8::3", "2001:db8::2"]


def test_a_name_without_an_address_is_told(bench: Bench) -> None:
    """With the reason, until it has one; who had one stays with it."""
    bench.names.say("head.test")
    socket = bench.add("one", HEAD)
    bench.answered()
    assert bench.outward.nameless == "head.test has no address here (name or service not known)"
    assert bench.outward.down(["one"]) == f"{HEAD} (one); head.test has no address: name or service not known"
    bench.names.say("head.test", "192.0.2.1")
    bench.look()
    bench.answered()
    assert bench.outward.nameless == ""
    bench.names.say("head.test")
    bench.look()
    bench.answered()
    assert socket.at == ["tcp://192.0.2.1:22120"]
    assert bench.outward.down(["one"]).startswith(f"{HEAD} (one) at 192.0.2.1; head.test has no address")


def test_an_answer_after_the_end_hurts_nobody(bench: Bench) -> None:
    """The thread is not waited for; what it finds is no longer asked for."""
    bench.add("one", HEAD)
    bench.outward.close()
    bench.names.say("head.test", "192.0.2.1")
