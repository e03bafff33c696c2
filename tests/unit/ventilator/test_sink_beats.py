"""Beats and barriers."""

from __future__ import annotations

from penstock.ventilator.sink_beats import RECOVERY_GRACE, SinkBeats


def test_a_beat_is_sent_at_each_interval_and_when_somebody_waits() -> None:
    """Numbers grow by one; a barrier is a beat that has not been sent, and sends it at once."""
    beats = SinkBeats(life=1, interval=1.0, now=0.0)
    assert beats.next(0.5, is_known=True) is None
    first = beats.next(1.0, is_known=True)
    assert first is not None
    barrier = beats.barrier()
    assert barrier == beats.barrier() == first + 1
    assert beats.next(1.1, is_known=True) == barrier
    assert beats.next(1.2, is_known=True) is None
    assert beats.next_wakeup(is_known=True) == 2.0


def test_a_sink_that_is_not_known_is_sent_nothing() -> None:
    """Who waits for a barrier has it when the sink has come."""
    beats = SinkBeats(life=1, interval=1.0, now=0.0)
    barrier = beats.barrier()
    assert beats.next(5.0, is_known=False) is None
    assert beats.next(5.1, is_known=True) == barrier


def test_numbers_of_a_later_life_are_greater() -> None:
    """However many beats the former one sent: an echo of it ends no wait of this one."""
    former, later = (SinkBeats(life=life, interval=1.0, now=0.0) for life in (1, 2))
    for at in range(1, 1000):
        former.next(float(at), is_known=True)
    assert former.number < later.barrier()


def test_the_recovery_ends_with_the_echo_of_a_beat_after_the_grace() -> None:
    """Not with one of a beat before its end, whenever that comes back."""
    beats = SinkBeats(life=1, interval=1.0, now=0.0)
    beats.expect_recovery(0.0)
    early = beats.next(1.0, is_known=True)
    assert early is not None
    assert not beats.ends_recovery(early)
    barrier = beats.next(RECOVERY_GRACE, is_known=True)
    assert barrier is not None
    assert not beats.ends_recovery(early)
    assert beats.ends_recovery(barrier)
