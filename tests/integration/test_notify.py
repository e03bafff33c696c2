"""`penstock notify` against receivers that hang, fail and die: each batch's end is told, in order and signed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conftest import Cli
from penstock import Pipeline
from penstock.cli.webhooks import load_secret, signature
from support.stations import LIMIT, Stations, until


class Receiver:
    """A web address that behaves as it is told, one word for each message; then it takes all."""

    def __init__(self, *behaviour: str) -> None:
        self.behaviour = list(behaviour)
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.tried = 0
        self.end = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.tried += 1
                match receiver.behaviour.pop(0) if receiver.behaviour else "take":
                    case "hang":
                        receiver.end.wait(LIMIT)
                    case "fail":
                        self.send_error(500)
                    case "redirect":
                        self.send_response(307)
                        self.send_header("location", receiver.url)
                        self.end_headers()
                    case "die":
                        self.connection.close()
                    case _:
                        receiver.taken.append(({name.lower(): text for name, text in self.headers.items()}, body))
                        self.send_response(204)
                        self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Let those go who hang."""
        self.end.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that takes the second message only at the fifth try."""
    made = Receiver("take", "hang", "fail", "redirect", "die")
    yield made
    made.close()


def test_each_end_is_told(stations: Stations, receiver: Receiver, folder: Path) -> None:
    """Also when notify is killed and started again, and the ventilator meanwhile: nothing is missed, and each message
    has the same id however often it is offered."""
    stations.start("ventilator", "sink", "w1")
    secret, cursor = folder / "secret", folder / "cursor"
    secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    argv = [sys.executable, "-m", "penstock", "notify", "--url", stations.url, "--on", "batch-end", "--timeout", "1s"]
    argv += ["--secret-file", str(secret), "--cursor", str(cursor), receiver.url]
    first = subprocess.Popen(argv)
    until(cursor.exists, what="it knows where it begins")
    with Pipeline(stations.url) as pipeline:
        ids = [pipeline.batch(["true"], [()], name=name).id for name in "ab"]
        until(lambda: receiver.tried >= 3, what="the second one was offered, and not taken")
        first.kill()
        first.wait(LIMIT)
        stations.end("ventilator")
        stations.start("ventilator")
        ids.append(pipeline.batch(["false"], [()], name="c").id)
        with subprocess.Popen(argv) as second:
            until(lambda: len(receiver.taken) == 3, what="all three are told")
            second.terminate()
    told = [json.loads(body) for _, body in receiver.taken]
    assert [one["data"]["batch"] for one in told] == ids
    assert [(one["type"], one["data"]["name"]) for one in told] == [("batch.ended", name) for name in "abc"]
    assert told[2]["data"]["failed"] == 1
    for headers, body in receiver.taken:
        made = signature(load_secret(secret), headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        assert headers["webhook-signature"] == made


def test_a_command_is_told(stations: Stations, folder: Path) -> None:
    """On its standard input, again after an exit code other than 0."""
    stations.start("ventilator", "sink", "w1")
    told, cursor = folder / "told", folder / "cursor"
    script = f'cat >> {told}; echo " $PENSTOCK_EVENT" >> {told}; [ $(wc -l < {told}) -gt 1 ]'
    argv = [sys.executable, "-m", "penstock", "notify", "--url", stations.url, "--on", "first-failure"]
    with subprocess.Popen([*argv, "--cursor", str(cursor), "--", "sh", "-c", script]) as process:
        until(cursor.exists, what="it knows where it begins")
        with Pipeline(stations.url) as pipeline:
            batch = pipeline.batch(["false"], [(), ()])
        until(lambda: told.exists() and told.read_text().count("\n") == 2, what="it was told twice")
        process.terminate()
    for line in told.read_text().splitlines():
        body, _, event = line.rpartition(" ")
        assert (json.loads(body)["data"]["batch"], event) == (batch.id, "first_failure")


def test_a_secret_without_an_address_is_an_error(cli: Cli) -> None:
    """It would sign nothing."""
    done = cli("notify", "--on", "batch-end", "--secret-file", "s", "--", "true")
    assert done.returncode == 2
    assert "give one http:// or https:// address" in done.stderr.decode()
