"""What `doctor` makes of a pipeline's own words."""

from __future__ import annotations

import sys

import msgspec
import pytest

from penstock.cli.commands.doctor_reach import Finding, judged
from penstock.client.records import PipelineStatus
from penstock.version import VERSION
from support.status_records import pipeline_status, worker_info

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
WORKER = worker_info(name="w1", slots=4, python=f"{HERE}.1")
WELL = pipeline_status(WORKER, version=VERSION, wall_time=1000.0)


def found(status: PipelineStatus, now: float = 1001.0) -> dict[str, Finding]:
    """The findings by what was looked at."""
    return {finding.check: finding for finding in judged(status, now)}


def test_all_is_well() -> None:
    """One line for each thing that was looked at."""
    assert {name: finding.state for name, finding in found(WELL).items()} == dict.fromkeys(
        ("penstock", "clock", "sink", "workers", "python"), "ok"
    )


@pytest.mark.parametrize(
    ("change", "check", "state", "said"),
    [
        ({"growth": ("queue.db-wal has 9.0 GiB",)}, "growth", "warn", "queue.db-wal has 9.0 GiB"),
        (
            {"workers": (msgspec.structs.replace(WORKER, clock_ahead=-90.0),)},
            "clock",
            "warn",
            "is 90.0 s behind the ventilator's",
        ),
        ({"version": "0.0.1"}, "penstock", "warn", "upgrade the ventilator and the sink to penstock"),
        (
            {"workers": (WORKER, msgspec.structs.replace(WORKER, name="w2", version="99.1.0"))},
            "penstock",
            "warn",
            "w2 on h has penstock 99.1.0, and the ventilator",
        ),
        ({"wall_time": 1010.0}, "clock", "warn", "9.0 s ahead: set both by NTP"),
        ({"wall_time": 101.0}, "clock", "wrong", "900.0 s behind"),
        ({"sink_present": False}, "sink", "wrong", "`penstock sink`"),
        ({"trouble": "d: the disk is full"}, "trouble", "wrong", "d: the disk is full"),
        ({"paused": "the pipeline is paused (`penstock resume`)"}, "paused", "warn", "`penstock resume`"),
        ({"workers": ()}, "workers", "warn", "`penstock worker`"),
        (
            {"workers": (WORKER, msgspec.structs.replace(WORKER, name="w2", python="3.99.1"))},
            "python",
            "warn",
            f"here {HERE}, and 3.99 at w2",
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_said(change: dict[str, object], check: str, state: str, said: str) -> None:
    """That line only, and what to do."""
    findings = found(msgspec.structs.replace(WELL, **change))
    assert (findings[check].state, said in findings[check].said) == (state, True)
    assert [name for name, finding in findings.items() if finding.state != "ok"] == [check]
