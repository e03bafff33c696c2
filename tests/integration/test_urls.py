"""URLs at every door: what is none is said in one line, and what is one is never a fault of ZeroMQ's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from conftest import Cli
from penstock import Pipeline
from penstock.errors import ConfigError
from penstock.keys.files import KeyFolder
from penstock.url import endpoints
from penstock.wire.guard import new_pair
from penstock.wire.sockets import Links
from support.urls import texts

BAD = (
    "tcp://_x:22120",
    "tcp://user@head:22120",
    "tcp://head:22120\nReboot",
    "ipc:///tmp/a\n#SBATCH",
    "tcp://b\u00fc:1",
)
DOORS = (
    *(
        ("status", "--url"),
        ("run", "--url", "echo", ":::", "a"),
        ("top", "--url"),
        ("worker", "--connect"),
        ("fleet", "status", "--url"),
    ),
    *(("ventilator", "--bind"), ("sink", "--bind"), ("up", "--bind"), ("print", "slurm", "--url"), ("keys", "init")),
)


def is_said(stderr: bytes) -> bool:
    return stderr.count(b"\n") == 1 and b"is no pipeline's URL" in stderr and b"a fault of" not in stderr


@pytest.mark.parametrize("words", DOORS, ids=" ".join)
def test_a_door_says_what_is_wrong_with_a_url(cli: Cli, words: tuple[str, ...]) -> None:
    """Exit code 2, one line, and nothing is begun."""
    for url in BAD[1:3]:
        at = words.index(next((word for word in words if word.startswith("--")), words[-1])) + 1
        more = ["h1"] if words[0] == "fleet" else []
        done = cli(*words[:at], url, *words[at:], *more)
        assert done.returncode == 2, done.stderr
        assert is_said(done.stderr), done.stderr


def test_so_do_the_environment_the_settings_a_key_and_python(cli: Cli, folder: Path) -> None:
    """A key file is often somebody else's."""
    keys = KeyFolder(folder / "keys", new_pair)
    keys.init("tcp://head:5555")
    for place, url in enumerate(BAD):
        settings = folder / "settings.toml"
        settings.write_text(f"url = {json.dumps(url)}\n")
        key = folder / f"{place}.key"
        key.write_text(json.dumps(json.loads((keys.path / "admin.key").read_text()) | {"url": url}))
        key.chmod(0o600)
        for done in (
            cli("status", env={"PENSTOCK_URL": url}),
            cli("status", "--config", str(settings)),
            cli("print", "slurm", "--key", str(key)),
        ):
            assert (done.returncode, is_said(done.stderr)) == (2, True), done.stderr
        for arguments in ({"url": url}, {"key": key}):
            with pytest.raises(ConfigError, match="is no pipeline's URL"):
                Pipeline(**arguments)
    with pytest.raises(TypeError, match="url must be text, not int"):
        Pipeline(5)  # type: ignore[arg-type]


def test_every_address_of_a_machine_is_none_to_connect_to(cli: Cli) -> None:
    """It can be bound."""
    done = cli("status", "--url", "tcp://*:22120")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"a host must be named" in done.stderr


@given(texts())
def test_what_parses_is_what_zeromq_takes(url: str) -> None:
    """Whatever was typed: an address to connect to, or a ConfigError."""
    links, said = Links(), ""
    try:
        for name, endpoint in endpoints(url)._asdict().items():
            links.connect(name, endpoint)
    except ConfigError as error:
        said = str(error)
    finally:
        links.close()
    assert not said or (said.isprintable() and ("a host must be named" in said or "is no pipeline's URL" in said))
