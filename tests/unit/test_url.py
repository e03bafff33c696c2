"""URLs and the endpoints they name."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given

from penstock.errors import ConfigError
from penstock.url import SOCKET_NAMES, default_url, endpoints
from support.urls import texts


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
    ("url", "why"),
    [
        ("", "begins neither"),
        ("head:5555", "begins neither"),
        ("http://x:1", "begins neither"),
        (" tcp://head:5555", "begins neither"),
        ("tcp://head", "no port"),
        ("tcp://:5555", "'' is no host"),
        ("tcp://head:", "the port must be"),
        ("tcp://head:0", "the port must be"),
        ("tcp://head:65531", "the port must be"),
        ("tcp://head:\uff15\uff15\uff15\uff15", "the port must be"),
        ("tcp://head:" + "9" * 5_000, "the port must be"),
        ("tcp://_x:5555", "'_x' is no host"),
        ("tcp://user@head:5555", "'user@head' is no host"),
        ("tcp://head one:5555", "'head one' is no host"),
        ("tcp://a;b:5555", "'a;b' is no host"),
        ("tcp://b\u00fccher:5555", "is no host"),
        ("tcp://a..b:5555", "is no host"),
        ("tcp://" + "x" * 64 + ":5555", "is no host"),
        ("tcp://" + ".".join(["x" * 60] * 5) + ":5555", "is no host"),
        ("tcp://999.0.0.1:5555", "no IPv4 address"),
        ("tcp://1:5555", "no IPv4 address"),
        ("tcp://::1:5555", "in brackets, '[::1]'"),
        ("tcp://[::x]:5555", "no IPv6 address"),
        ("tcp://[127.0.0.1]:5555", "no IPv6 address"),
        ("tcp://[fe80::1%a b]:5555", "no IPv6 address"),
        ("tcp://[fe80::1%" + "x" * 9_000 + "]:5555", "no IPv6 address"),
        ("tcp://fe80::1%" + "x" * 9_000 + ":5555", "in brackets"),
        ("tcp://[::1:5555", "is no host"),
        ("tcp://a:1/b/c", "'b/c' is no host"),
        ("tcp://a:1/b:2", "'b:2' is no host"),
        ("tcp://a:1/", "'' is no host"),
        ("tcp://head:5555\n", "cannot be printed"),
        ("tcp://a\nb:5555", "cannot be printed"),
        ("ipc:///tmp/a\nb", "cannot be printed"),
        ("ipc:///tmp/\udcff", "cannot be printed"),
        ("ipc://relative/x", "names no folder"),
        ("ipc:///", "names no folder"),
    ],
)
def test_what_is_no_url_says_what_is_wrong_in_it(url: str, why: str) -> None:
    """A ConfigError of one line, before anything is started."""
    with pytest.raises(ConfigError, match=re.escape(why)) as raised:
        endpoints(url)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    "host", ["head", "Head-1.example.org", "a_b", "x.", "127.0.0.1", "[::1]", "[fe80::1%eth0]", "[::ffff:1.2.3.4]", "*"]
)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    """As people write them."""
    assert endpoints(f"tcp://{host}:5555").report == f"tcp://{host}:5556"


@given(texts())
def test_any_text_is_a_url_or_an_error_of_one_line(url: str) -> None:
    """And what it names is printable, so that it can be written down."""
    with contextlib.suppress(ConfigError):
        assert all(endpoint.isprintable() for endpoint in endpoints(url))
        return
    with pytest.raises(ConfigError) as raised:
        endpoints(url)
    assert str(raised.value).isprintable()


def test_a_path_must_fit_into_a_socket_address() -> None:
    """107 bytes, also where a character is more than one."""
    assert endpoints("ipc:///" + "x" * 97)
    for name in ("x" * 98, "é" * 49):
        with pytest.raises(ConfigError, match="too long"):
            endpoints("ipc:///" + name)


def test_without_a_url_it_is_a_folder_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the session; where it is another user's, as after sudo, or there is none, one in the state folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_url() == f"ipc://{tmp_path}/penstock"
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    assert default_url() == "ipc:///state/penstock/sockets"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    assert default_url() == "ipc:///state/penstock/sockets"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_url() == "ipc:///home/ada/.local/state/penstock/sockets"


def test_on_windows_a_pipeline_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no sockets of that kind."""
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ConfigError, match="say which pipeline: --url"):
        default_url()
