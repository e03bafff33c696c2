"""``penstock fleet``: workers on many hosts, through ssh."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.commands.keys import work_key_file
from penstock.cli.option_types import OptionDecorator, together
from penstock.cli.options import as_json, debug, key_path, keyed, url_option
from penstock.cli.output import json_line, local_time, printable
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.fleet.ssh import Answer, Fleet

on_hosts: OptionDecorator = together(
    click.argument("hosts", metavar="HOSTS"),
    keyed,
    url_option("--url", "Connect to the pipeline at this URL."),
    click.option("--ssh", envvar="PENSTOCK_SSH", default="ssh", help="Use this ssh command.  [env: PENSTOCK_SSH]"),
    debug,
)
"""What each of these commands takes."""


@click.group("fleet", short_help="Start, stop and check workers on many hosts, through ssh.")
@debug
def command() -> None:
    """Start, stop and check workers on many hosts, through the system's ssh and its configuration.

    HOSTS is a file (- is stdin) with a line per host: NAME slots=N tags=A,B python=PROGRAM, of which only the name is
    needed; or names with commas between them. A line is printed per host; the exit code is 1 if one failed.
    """


@command.command("start")
@on_hosts
@click.option("--restart", is_flag=True, help="Replace workers that run: each finishes its running jobs first.")
def start(hosts: str, url: str, ssh: str, restart: bool) -> int:
    """Start a worker on each of HOSTS that has none.

    Each gets a copy of the key for workers, 0600, and penstock itself into a venv of its own where that is missing;
    what penstock depends on comes from where the host's pip has it. Workers go on when ssh has ended.
    """
    key = work_key_file().read_text(encoding="utf-8") if key_path() else ""
    return _report(_fleet(hosts, url, ssh).start(key, restart=restart), _started)


@command.command("stop")
@on_hosts
def stop(hosts: str, url: str, ssh: str) -> int:
    """Let the workers on HOSTS finish their running jobs, and wait for them.

    Given again meanwhile, it ends the running jobs at once; they run again elsewhere.
    """
    return _report(_fleet(hosts, url, ssh).stop(), _stopped)


@command.command("status")
@on_hosts
@as_json
def status(hosts: str, url: str, ssh: str, as_json: bool) -> int:
    """Show the worker on each of HOSTS; the exit code is 1 if one is missing."""
    answers = _fleet(hosts, url, ssh).look()
    if not as_json:
        return _report(answers, _running)
    code = 0
    for answer in answers:
        json_line({"host": answer.host.name, "error": answer.error, **answer.found})
        code |= bool(answer.error or not answer.found["pid"])
    return code


def _fleet(hosts: str, url: str, ssh: str) -> Fleet:
    from penstock.fleet.ssh import Fleet, read_hosts
    from penstock.url import endpoints
    from penstock.wire.bind_address import is_near

    desk = endpoints(url).desk
    if desk.startswith("ipc://") or is_near(desk):
        raise ConfigError(
            f"other hosts cannot reach {url}: make keys with `penstock keys init tcp://HOST:PORT`, start the pipeline "
            "with them, and give --key or --url here"
        )
    return Fleet(read_hosts(*_listed(hosts)), url, ssh)


def _listed(hosts: str) -> tuple[str, str]:
    """The text of the list of hosts, and where it is from."""
    if hosts == "-":
        return sys.stdin.read(), "stdin"
    path = Path(hosts)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8"), hosts
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {hosts}: {error}") from None
    if "/" in hosts:
        raise ConfigError(f"there is no file {hosts}")
    return hosts.replace(",", "\n"), "HOSTS"


def _report(answers: Iterator[Answer], words: Callable[[dict[str, Any]], tuple[str, bool]]) -> int:
    """A line per host as it answers; the exit code."""
    code = 0
    for answer in answers:
        text, well = (answer.error, False) if answer.error else words(answer.found)
        print(f"{answer.host.name}: {printable(text)}", flush=True)
        code |= not well
    return code


def _started(found: dict[str, Any]) -> tuple[str, bool]:
    if found.get("already"):
        older = "; it is of another penstock than this one, and --restart replaces it" if found["outdated"] else ""
        return f"runs already ({_worker(found)}){older}", True
    missing = "; ".join(found["unreachable"])
    return f"started ({_worker(found)})" + (f", but cannot reach {missing}" if missing else ""), not missing


def _stopped(found: dict[str, Any]) -> tuple[str, bool]:
    if not found["stopped"]:
        return "no worker runs", True
    if found["undelivered"]:
        return "stopped, with outcomes that no sink has taken: these jobs run again", False
    clean = " stopped: " in found["last"]
    return "stopped" if clean else f"ended: {found['last']}", clean


def _running(found: dict[str, Any]) -> tuple[str, bool]:
    if found["pid"]:
        return f"runs since {local_time(found['since'])} ({_worker(found)})", True
    return "no worker runs" + (f"; the last one ended with: {found['last']}" if found["last"] else ""), False


def _worker(found: dict[str, Any]) -> str:
    return f"{found['slots']} slots, pid {found['pid']}, log {found['log']}"
