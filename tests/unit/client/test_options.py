"""Job options become a BatchSpec, or an error that says what is wrong."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock.client.options import (
    AROUND,
    COMMAND_PARSERS,
    PARSERS,
    CallOptions,
    CommandOptions,
    argument_bytes,
    around_of,
    depends_on_now,
    environment_bytes,
    spec_of,
)
from penstock.job.spec import BatchSpec
from penstock.job.times import seconds


def test_type_checkers_know_the_options_that_there_are() -> None:
    """Of calls and of commands: none that is refused, and none is missing."""
    assert CallOptions.__annotations__.keys() == {*PARSERS, *AROUND}
    assert CommandOptions.__annotations__.keys() == {*COMMAND_PARSERS, "cwd", "env"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (90, 90.0),
        (0.5, 0.5),
        (timedelta(minutes=5), 300.0),
        ("90s", 90.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        ("0.5s", 0.5),
        (0, 0.0),
    ],
)
def test_a_duration_is_seconds_a_timedelta_or_text(given: Any, expected: float) -> None:
    """Seconds, timedeltas and 90s 5m 2h 1d are durations."""
    assert seconds(given) == expected


@pytest.mark.parametrize("given", ["", "5", "5 m", "m", "1x", "-5s", -1, float("nan"), float("inf"), 1e13, "1e3s"])
def test_what_is_no_duration_is_a_value_error(given: Any) -> None:
    """Negative, endless and misspelt durations are refused."""
    with pytest.raises(ValueError, match="duration"):
        seconds(given)


@pytest.mark.parametrize("given", [None, True, [5], b"5s"])
def test_a_duration_of_another_type_is_a_type_error(given: Any) -> None:
    """A flag is no number of seconds."""
    with pytest.raises(TypeError, match="time_limit must be seconds"):
        seconds(given, "time_limit")


def test_every_option_reaches_the_spec() -> None:
    """All options of a call, durations in seconds."""
    spec = spec_of(
        {
            "name": "n",
            "priority": -3,
            "retries": 2,
            "retry_delay": "5s",
            "max_crashes": 1,
            "time_limit": timedelta(hours=1),
            "serializer": "msgpack",
            "limit": 4,
            "worker": "gpu3",
            "needs": ["gpu", "big", "gpu"],
            "on_missing": "fail",
        }
    )
    assert spec == BatchSpec(
        name="n",
        priority=-3,
        retries=2,
        retry_delay=5.0,
        max_crashes=1,
        time_limit=3600.0,
        serializer="msgpack",
        limit=4,
        worker="gpu3",
        needs=("big", "gpu"),
        on_missing="fail",
    )
    assert spec_of({"limit": None, "worker": None, "needs": None}) == BatchSpec()
    assert spec_of({"needs": "gpu"}).needs == ("gpu",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (90, 1090.0),
        ("1h", 4600.0),
        (timedelta(minutes=1), 1060.0),
        (datetime(1970, 1, 1, 1, tzinfo=UTC), 3600.0),
        ("1970-01-01T02:00+01:00", 3600.0),
        ("1970-01-01T01:00Z", 3600.0),
    ],
)
def test_an_instant_is_a_time_with_a_zone_or_a_duration_from_now(
    given: Any, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aware datetimes, the same as ISO 8601 text, and whatever is a duration."""
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert spec_of({"not_before": given}).not_before_time == expected


@pytest.mark.parametrize("option", ["not_before", "expires"])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (datetime(2030, 1, 1), "has no time zone"),  # noqa: DTZ001 - that is the point
        ("2030-01-01T00:00", "has no time zone"),
        ("2030-13-01T00:00Z", "is no instant"),
        (-1, "must be 0 or more seconds"),
        ("soon", "is no duration"),
    ],
)
def test_a_naive_datetime_is_a_value_error(option: str, given: Any, words: str) -> None:
    """Whose midnight would it be?"""
    with pytest.raises(ValueError, match=f"^{option}.* {words}"):
        spec_of({option: given})


def test_a_batch_that_could_never_start_is_a_value_error() -> None:
    """It expires before it may begin, or has expired already."""
    with pytest.raises(ValueError, match="later than not_before"):
        spec_of({"not_before": "2h", "expires": "1h"})
    for past in (0, datetime(2020, 1, 1, tzinfo=UTC)):
        with pytest.raises(ValueError, match="in the future"):
            spec_of({"expires": past})


def test_a_duration_counts_from_each_submit() -> None:
    """Options that name a datetime are the same for ever; those with a duration are not."""
    assert depends_on_now({"not_before": "1h"})
    assert not depends_on_now({"not_before": datetime(2030, 1, 1, tzinfo=UTC), "retries": 2})


def test_an_unknown_option_is_named_beside_the_known() -> None:
    """A misspelt option is an error, never ignored."""
    with pytest.raises(TypeError, match=r"unknown option 'retry'; known are name, .*retries"):
        spec_of({"retry": 2})


def test_check_is_an_option_of_commands_only() -> None:
    """A call has no exit code to check."""
    assert spec_of({"check": False}, kind="command") == BatchSpec(kind="command", check=False)
    with pytest.raises(TypeError, match="unknown option 'check'"):
        spec_of({"check": False})


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("retries", -1, ValueError),
        ("retries", 1.5, TypeError),
        ("retries", True, TypeError),
        ("priority", "high", TypeError),
        ("priority", 2**40, ValueError),
        ("max_crashes", 0, ValueError),
        ("time_limit", 0, ValueError),
        ("serializer", "json", ValueError),
        ("limit", 0, ValueError),
        ("limit", "2", TypeError),
        ("worker", "", ValueError),
        ("worker", 3, TypeError),
        ("needs", [""], ValueError),
        ("needs", [3], TypeError),
        ("on_missing", "cry", ValueError),
        ("on_missing", "fail", ValueError),
        ("name", 5, TypeError),
        ("name", "x" * 257, ValueError),
        ("name", "\udcff", ValueError),
        ("user", "\udcff", ValueError),
        ("needs", 5, TypeError),
    ],
)
def test_a_wrong_value_names_its_option(option: str, value: object, error: type[Exception]) -> None:
    """The message begins with the option."""
    with pytest.raises(error, match=f"^{option}"):
        spec_of({option: value})


def test_arguments_of_commands_are_bytes() -> None:
    """Text, bytes, paths and numbers go in; what the file system cannot decode comes back as it was."""
    assert argument_bytes("a b\n") == b"a b\n"
    assert argument_bytes("\udcff") == b"\xff"
    assert argument_bytes(b"\xff") == b"\xff"
    assert argument_bytes(Path("a/b")) == b"a/b"
    assert argument_bytes(2.5) == b"2.5"
    assert environment_bytes({"A": 1}) == {b"A": b"1"}


def test_an_argument_that_no_command_can_have_is_refused() -> None:
    """A zero byte ends an argument; an object is none."""
    with pytest.raises(ValueError, match="zero byte"):
        argument_bytes("a\0b")
    with pytest.raises(TypeError, match="not list"):
        argument_bytes(["a"])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"initializer": 3}, TypeError),
        ({"initargs": (1,)}, ValueError),
        ({"env": {"A=B": "c"}}, ValueError),
        ({"env": {"": "c"}}, ValueError),
        ({"env": [("A", "b")]}, TypeError),
        ({"initializer": print, "initargs": 5}, TypeError),
        ({"cwd": 3.5j}, TypeError),
    ],
)
def test_what_cannot_be_around_a_job_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    """Before anything is sent."""
    with pytest.raises(error):
        around_of(options)


def test_a_relative_folder_is_the_submitters() -> None:
    """The worker's may be elsewhere."""
    assert around_of({"cwd": "x"}).surroundings.folder == str(Path.cwd() / "x")
