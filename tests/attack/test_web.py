"""Strangers, and pages of strangers, at `penstock web`: what they are refused, by a real server and real stations."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import pytest

from penstock import Pipeline
from penstock.keys.roles import Role
from support.keyed_pipeline import make_keys
from support.stations import LIMIT, Stations, free_url, until

LOGIN = re.compile(r"http://127\.0\.0\.1:(\d+)/login\?token=(\S+)")
HOSTILE = "<script>alert(1)</script>"


class Answer(NamedTuple):
    """What the server says."""

    status: int
    headers: dict[str, str]
    text: str


class Web:
    """A `penstock web` process with this environment."""

    def __init__(self, folder: Path, name: str, *words: str, **env: str) -> None:
        self._out = folder / f"{name}.log"
        with self._out.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "penstock", "web", "--listen", "127.0.0.1:0", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | env,
            )
        until(self.logins, LIMIT, "it prints an address")
        self.port = int(self.logins()[0][0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(LIMIT)

    def logins(self) -> list[tuple[str, str]]:
        """Port and token of each address that it has printed."""
        return LOGIN.findall(self._out.read_text())

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request; an underscore in the name of a header is a hyphen."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode())

    def said(self, data: bytes) -> bytes:
        """Whatever comes back for these bytes, until the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), LIMIT) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def log_in(self) -> str:
        """By the newest address; returns the cookie."""
        answer = self.ask(f"/login?token={self.logins()[-1][1]}")
        assert answer.status == 200
        cookie, *attributes = answer.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "SameSite=strict"} < set(attributes)
        return cookie

    def end(self) -> int:
        """By SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT)


@pytest.fixture(scope="module")
def stations(place: Path) -> Iterator[Stations]:
    """With keys, and a worker of a hostile name."""
    url = free_url()
    made = Stations(place, url)
    key = str(make_keys(place, url).path)
    made.start("ventilator", "sink", key=key)
    made.start("w1", key=key, name=HOSTILE)
    yield made
    made.close()


@pytest.fixture(scope="module")
def web(place: Path, stations: Stations) -> Iterator[Web]:
    """With a key that may look only, and with a batch to look at whose name, command and error are hostile."""
    with Pipeline(key=place / "keys" / "alice.key") as alice:
        alice.batch(float, [HOSTILE], name=HOSTILE).wait(LIMIT)
    with Web(place, "web", PENSTOCK_KEY=str(place / "keys" / "watch.key")) as started:
        yield started
        assert started.end() == 0


def test_without_a_session_there_is_nothing_to_see(web: Web) -> None:
    """Every page wants a login, also those that are not there; health says ok and no more."""
    for path in ("/", "/batches", "/nothing", "/static/", "/static/site.py", "/login/../", "//", "/healthz/.."):
        answer = web.ask(path, cookie=f"penstock_{web.port}=guessed")
        assert (answer.status, "Log in" in answer.text) == (401, True), path
        assert "tcp://" not in answer.text
    assert web.ask("/healthz").text == "ok\n"
    assert web.ask("/readyz").text == "ok\n"


def test_an_address_logs_in_once(web: Web) -> None:
    """The second use of a token is refused; the session of the first one is there until it is logged out."""
    token = web.logins()[-1][1]
    cookie = web.log_in()
    assert web.ask(f"/login?token={token}").status == 403
    assert web.ask("/", cookie=cookie).status == 200
    here = f"http://127.0.0.1:{web.port}"
    out = web.ask("/logout", "POST", cookie=cookie, origin=here, sec_fetch_site="same-origin")
    assert (out.status, web.ask("/", cookie=cookie).status) == (303, 401)


def test_a_foreign_host_gets_nothing(web: Web) -> None:
    """A name of others that leads here, or none, or two: not even the login answers."""
    cookie = web.log_in()
    for host in ("evil.example", f"evil.example:{web.port}", "127.0.0.1.evil.example", "localhost@evil.example", "["):
        assert web.ask("/", host=host, cookie=cookie).status == 421, host
        assert web.ask("/login", host=host).status == 421, host
    assert web.ask("/", host=f"LOCALHOST:{web.port}", cookie=cookie).status == 200
    twice = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert b" 400 " in web.said(twice).split(b"\r\n")[0]


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_what_changes_something_comes_from_a_page_of_this_server(web: Web, method: str) -> None:
    """A page of another site, or of another port of this host, changes nothing with the browser's session."""
    cookie = web.log_in()
    tries: list[dict[str, Any]] = [
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{web.port + 1}", "sec_fetch_site": "same-site"},
        {"origin": f"http://127.0.0.1:{web.port}", "sec_fetch_site": "cross-site"},
        {"origin": f"http://127.0.0.1:{web.port}.evil.example"},
        {},
    ]
    for headers in tries:
        assert web.ask("/logout", method, cookie=cookie, **headers).status == 403, headers
    assert web.ask("/", cookie=cookie).status == 200  # it was not logged out


def test_no_header_comes_from_a_request(web: Web) -> None:
    """Line ends in an address or a header make no header of the answer."""
    answer = web.ask("/login?token=%0d%0aset-cookie:%20a=b")
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)
    raw = web.said(b"GET /login?token=\rX:y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b" 400 " in raw.split(b"\r\n")[0]


def test_no_path_leads_to_a_file(web: Web) -> None:
    """The style sheet is one address, not a folder."""
    cookie = web.log_in()
    assert web.ask("/static/style.css").status == 200
    for path in (
        *("/static/../site.py", "/static/%2e%2e/site.py", "/static/..%2fsite.py", "/static//etc/passwd"),
        *("/static/style.css/../../site.py", "/static/style.css%00.py", "/static\\..\\site.py"),
    ):
        assert web.ask(path, cookie=cookie).status == 404, path


def test_a_body_of_ten_megabytes_is_refused(web: Web) -> None:
    """Whether it says its size or not: nothing of it is carried out."""
    here: dict[str, Any] = {"origin": f"http://127.0.0.1:{web.port}", "cookie": web.log_in()}
    assert web.ask("/logout", "POST", content_length=str(10 << 20), **here).status == 413
    lines = "".join(f"{name}: {value}\r\n" for name, value in here.items())
    head = f"POST /logout HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\n{lines}"
    with contextlib.suppress(OSError):  # it hangs up in the middle
        web.said(f"{head}Content-Length: {10 << 20}\r\n\r\n".encode() + bytes(10 << 20))
    chunks = b"10000\r\n%b\r\n" % bytes(0x10000) * 160 + b"0\r\n\r\n"
    with contextlib.suppress(OSError):
        web.said(f"{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks)
    assert web.ask("/", cookie=here["cookie"]).status == 200  # it was not logged out


def test_a_head_without_end_is_refused(web: Web) -> None:
    """A line or a header is collected up to 16 KiB."""
    assert b" 400 " in web.said(b"GET /" + b"a" * (17 << 10)).split(b"\r\n")[0]


def test_a_slow_connection_is_cut(web: Web) -> None:
    """Who says nothing, and who says a byte now and then, is cut; others are answered meanwhile."""
    with (
        socket.create_connection(("127.0.0.1", web.port), LIMIT) as silent,
        socket.create_connection(("127.0.0.1", web.port), LIMIT) as drip,
    ):
        drip.settimeout(0.5)

        def is_cut() -> bool:
            try:
                drip.sendall(b"G")
                return drip.recv(1) == b""
            except TimeoutError:
                return web.ask("/healthz").text != "ok\n"
            except OSError:
                return True

        until(is_cut)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""


def test_every_answer_is_closed_to_others(web: Web) -> None:
    """Also errors and the style sheet: nothing is framed, kept, guessed at, or run."""
    cookie = web.log_in()
    for path in ("/", "/nothing", "/login", "/healthz", "/static/style.css"):
        headers = web.ask(path, cookie=cookie).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert "server" not in headers


def test_what_users_have_named_is_text(web: Web) -> None:
    """A script as the name of a batch, as an argument, in an error or as a worker's name is shown, and not run."""
    cookie = web.log_in()
    batches = web.ask("/batches", cookie=cookie).text
    (batch,) = re.findall(r'href="(/batches/[0-9a-f]{32})"', batches)
    pages = {path: web.ask(path, cookie=cookie) for path in ("/", "/batches", batch, "/jobs", "/workers")}
    shown = "&lt;script&gt;alert(1)&lt;/script&gt;"
    for path, answer in pages.items():
        assert (answer.status, shown in answer.text, "<script" in answer.text) == (200, True, False), path
    assert pages[batch].text.count(shown) >= 2, "title and heading"
    assert pages["/jobs"].text.count(shown) >= 4, "name, worker, argument, error"
    assert "ValueError" in pages[batch].text


def test_what_is_no_batch_and_no_page_is_not_looked_for(web: Web) -> None:
    """Neither by a name nor by half an id; a page that is no number is the first."""
    cookie = web.log_in()
    for path in ("/batches/last", "/batches/%3Cscript%3E", f"/batches/{'0' * 31}", f"/batches/{'0' * 32}"):
        answer = web.ask(path, cookie=cookie)
        assert (answer.status, "<script" in answer.text) == (404, False), path
    for page in ("0", "-1", "9" * 400, "x", "%00"):
        assert "/batches/" in web.ask(f"/batches?page={page}", cookie=cookie).text, page
    assert "There are no more" in web.ask("/batches?page=999", cookie=cookie).text


def test_metrics_are_for_this_machine_only(web: Web) -> None:
    """What comes through a proxy may be of anybody; what is told is of both stations, and no name is in it."""
    told = web.ask("/metrics")
    assert told.status == 200
    counted = 'penstock_outcomes_total{cause="exception",state="failed"} 1.0'
    for line in ("penstock_up 1.0", "penstock_jobs_submitted_total 1.0", 'penstock_jobs{state="queued"} 0.0', counted):
        assert line in told.text
    assert 'penstock_store_bytes{store="results"}' in told.text
    assert HOSTILE not in told.text
    for header in ("x_forwarded_for", "forwarded", "via", "x_real_ip"):
        assert web.ask("/metrics", **{header: "127.0.0.1"}).status == 401, header
    assert web.ask("/metrics", host="evil.example").status == 421


def test_filters_of_strangers_are_text(web: Web) -> None:
    """What stands in the address is shown as it is, what is no filter is refused with what there is, and a long one is
    not even read; jobs, errors and events of hostile names are text as well."""
    cookie = web.log_in()
    for where, status, said in (
        (HOSTILE, 400, "there is no field"),
        ("name=x " * 60, 400, "more than 50 terms"),
        ("x" * 3_000, 400, "at most 2,000 are allowed"),
        ("state=failed", 200, "could not convert string to float"),
        ("state=dead", 200, "No job fits"),
    ):
        answer = web.ask(f"/jobs?where={quote(where)}", cookie=cookie)
        assert (answer.status, said in answer.text, HOSTILE in answer.text) == (status, True, False), where
    assert web.ask(f"/jobs?after={quote(HOSTILE)}", cookie=cookie).status == 400
    batch = re.search(r"/batches/[0-9a-f]{32}", web.ask("/batches", cookie=cookie).text)
    assert batch is not None
    for path, said in ((batch[0], "ValueError: could not convert"), ("/events?before=-1", "worker joined")):
        answer = web.ask(path, cookie=cookie)
        assert (answer.status, said in answer.text, HOSTILE in answer.text) == (200, True, False), path


def test_a_revoked_key_sees_nothing_any_more(place: Path, stations: Stations) -> None:
    """A session of a browser is worth what the key of the server is: 403 once that is revoked. Its metrics are for who
    has their token."""
    from penstock.keys.files import KeyFolder
    from penstock.wire.guard import new_pair

    keys = KeyFolder(place / "keys", new_pair)
    keys.new(Role.OBSERVE, "fired")
    token, words = place / "token", ("--metrics-token-file", str(place / "token"))
    token.write_text("0123456789abcdef\n")
    with Web(place, "fired", *words, PENSTOCK_KEY=str(keys.path / "fired.key")) as server:
        for said, status in ((token.read_text().strip(), 200), ("0123456789abcdeg", 401), ("", 401)):
            assert server.ask("/metrics", authorization=f"Bearer {said}").status == status
        assert server.ask("/metrics").status == 401
        cookie = server.log_in()
        until(lambda: server.ask("/", cookie=cookie).status == 200)
        keys.revoke("fired")
        until(lambda: server.ask("/", cookie=cookie).status == 403)
        assert server.ask("/readyz").text == "not ready\n"


def test_without_a_station_the_page_says_so(place: Path) -> None:
    """It answers, with what is wrong, and shows the pipeline as soon as that is there; Ctrl-C ends it in order."""
    url = free_url()
    with Web(place, "lonely", "--url", url) as server:
        cookie = server.log_in()
        away = server.ask("/", cookie=cookie)
        assert (away.status, "no ventilator and no sink answers" in away.text) == (503, True)
        assert server.ask("/healthz").status == 200
        made = Stations(place, url, data=str(place / "lonely"))
        made.start("ventilator")
        try:
            until(lambda: server.ask("/", cookie=cookie).status == 200)
            assert "sink: not connected" in server.ask("/", cookie=cookie).text
        finally:
            made.close()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(LIMIT) == 0
