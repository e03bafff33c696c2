"""URLs and the endpoints they name."""

from __future__ import annotations

import pytest

from penstock.errors import ConfigError
from penstock.url import SOCKET_NAMES, endpoints


def test_a_tcp_url_is_the_first_of_six_ports() -> None:
    """In the order of SOCKET_NAMES."""
    found = endpoints("tcp://head:5555")
    assert list(found) == [f"tcp://head:{5555 + at}" for at in range(6)]
    assert found._fields == SOCKET_NAMES


def test_the_sink_can_have_a_host_of_its_own() -> None:
    """What it binds is there, under the same ports; all else is at the ventilator's host."""
    found = endpoints("tcp://head:5555/store")
    assert [name for name in SOCKET_NAMES if "store" in getattr(found, name)] == ["outcomes", "results"]
    assert (found.desk, found.results) == ("tcp://head:5555", "tcp://store:5560")
    assert endpoints("tcp://[::1]:5555/[::2]").outcomes == "tcp://[::2]:5558"


def test_an_ipc_url_is_a_folder_with_six_sockets() -> None:
    """Each named for what it is."""
    assert endpoints("ipc:///run/p").jobs == "ipc:///run/p/jobs"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "head:5555",
        "tcp://head",
        "tcp://head:0",
        "tcp://head:65531",
        "http://x:1",
        "ipc://relative/x",
        "tcp://a:1/b/c",
        "tcp://a:1/b:2",
    ],
)
def test_what_is_no_url_says_what_is(url: str) -> None:
    """A ConfigError, before anything is started."""
    with pytest.raises(ConfigError):
        endpoints(url)


def test_a_path_must_fit_into_a_socket_address() -> None:
    """107 bytes, also where a character is more than one."""
    assert endpoints("ipc:///" + "x" * 97)
    for name in ("x" * 98, "é" * 49):
        with pytest.raises(ConfigError, match="too long"):
            endpoints("ipc:///" + name)
