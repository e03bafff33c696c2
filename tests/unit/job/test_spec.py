"""Jobs: states, stamps, ids."""

from __future__ import annotations

import pytest

from penstock.job.spec import (
    FINAL,
    OPEN,
    UNSUCCESSFUL,
    BatchSpec,
    JobState,
    Stamp,
    Tenant,
    job_id,
    new_batch_id,
    new_worker_id,
)


def test_every_state_is_open_or_final() -> None:
    """And only what ended without success can be opened again."""
    assert set(JobState) == OPEN | FINAL
    assert not OPEN & FINAL
    assert FINAL - {JobState.SUCCEEDED} == UNSUCCESSFUL


def test_a_newer_stamp_is_greater() -> None:
    """Generation before attempt."""
    first = Stamp()
    assert first < first.after_failure() < Stamp(generation=1)
    assert first < first.after_crash()


def test_failures_and_crashes_are_counted_apart() -> None:
    """A crash uses up no retry, a failure no crash."""
    stamp = Stamp().after_failure().after_crash().after_failure()
    assert (stamp.attempt, stamp.failures, stamp.crashes) == (4, 2, 1)


@pytest.mark.parametrize(("retries", "failures", "last"), [(0, 0, True), (2, 1, False), (2, 2, True)])
def test_retries_are_tries_after_the_first(retries: int, failures: int, last: bool) -> None:
    """2 is up to 3 attempts."""
    assert BatchSpec(retries=retries).is_final(JobState.FAILED, Stamp(attempt=failures + 1)) is last


@pytest.mark.parametrize("state", sorted(FINAL - {JobState.FAILED}))
def test_only_a_failure_of_its_own_uses_up_a_retry(state: JobState) -> None:
    """What ran over its time limit, or was cancelled, is not tried again; where a process died its crashes count."""
    spec = BatchSpec(retries=5, max_crashes=2)
    assert spec.is_final(state, Stamp())
    assert not spec.is_final(state, Stamp(), crashed=True)
    assert spec.is_final(state, Stamp().after_crash(), crashed=True)


@pytest.mark.parametrize(("max_crashes", "crashes", "last"), [(1, 0, True), (3, 1, False), (3, 2, True)])
def test_the_last_crash_is_the_one_that_reaches_the_limit(max_crashes: int, crashes: int, last: bool) -> None:
    """1 is never started twice."""
    assert BatchSpec(max_crashes=max_crashes).is_last_crash(Stamp(0, crashes + 1, crashes)) is last


def test_batch_ids_are_sortable_and_of_the_layout_of_uuid7() -> None:
    """Version and variant are in their places; two are never alike."""
    import uuid

    ids = [new_batch_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert sorted(one[:6] for one in ids) == [one[:6] for one in ids]
    assert {uuid.UUID(bytes=one).version for one in ids} == {7}
    assert len(new_worker_id()) == 16


def test_a_jobs_name_is_batch_and_index() -> None:
    """In hex, with a colon."""
    assert job_id(b"\x01\xff", 7) == "01ff:7"


def test_a_process_runs_the_calls_of_one_client() -> None:
    """Commands are processes of their own and go along with anybody's; another user's jobs never do."""
    mine, theirs = BatchSpec(client=b"a").tenant, BatchSpec(client=b"b").tenant
    nameless, command = BatchSpec().tenant, BatchSpec(kind="command").tenant
    new = Tenant()
    assert new.admits(mine)
    assert new.joined_by(mine) == mine
    assert [mine.admits(one) for one in (mine, theirs, nameless, command)] == [True, False, False, True]
    assert mine.joined_by(command) == mine
    assert not new.admits(BatchSpec(user="bob", kind="command").tenant)
