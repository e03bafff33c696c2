"""Claims on outcomes: one reader each, also when they are said again, and after a restart."""

from __future__ import annotations

import pytest

from penstock.sink.claims import Claims
from penstock.sink.contract import SaveClaim
from penstock.station.contract import Answer
from penstock.wire.messages import Claim, Claimed
from support.store_samples import BATCH, OTHER

CLIENT, ONE, TWO = b"client", b"1" * 16, b"2" * 16


class Bench:
    """Claims with what was saved of them."""

    def __init__(self) -> None:
        self.stored: dict[tuple[bytes, bytes], SaveClaim] = {}
        self.claims = Claims()

    def restart(self) -> None:
        """All that is known is what was saved."""
        self.claims = Claims()
        self.claims.take_in(self.stored.values())

    def claim(self, reader: bytes, number: int, received: int, jobs: int = 1) -> tuple[int, int]:
        """What the answer to a claim gives; what must be durable before is saved first."""
        *saves, answer = self.claims.claim(CLIENT, Claim(number, BATCH, reader, jobs, received), known=True)
        for save in saves:
            assert isinstance(save, SaveClaim)
            self.stored[save.batch, save.reader] = save
        assert isinstance(answer, Answer)
        assert isinstance(answer.message, Claimed)
        assert answer.message.number == number
        self.claims.check()
        return answer.message.start, answer.message.stop


def test_each_outcome_has_one_reader() -> None:
    """In the order of recording; who comes when all is given gets nothing."""
    bench = Bench()
    assert [bench.claim(ONE, 1, 4), bench.claim(TWO, 1, 4, jobs=2), bench.claim(ONE, 2, 4)] == [(0, 1), (1, 3), (3, 4)]
    assert bench.claim(TWO, 2, 4) == (4, 4)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_claim_said_again_gives_nothing_more(restarts: bool) -> None:
    """Its answer was lost; others have claimed since, and the sink may have been restarted."""
    bench = Bench()
    assert bench.claim(ONE, 5, 9) == (0, 1)
    assert bench.claim(TWO, 1, 9) == (1, 2)
    if restarts:
        bench.restart()
    assert bench.claim(ONE, 5, 9) == (0, 1)
    assert bench.claim(ONE, 6, 9) == (2, 3)


def test_nothing_is_given_that_is_not_there() -> None:
    """What its reader has not received, a batch that nobody knows."""
    bench = Bench()
    assert bench.claim(ONE, 1, 2, jobs=10) == (0, 2)
    assert bench.claim(TWO, 1, 1) == (2, 2)
    assert bench.claim(TWO, 2, 3, jobs=100) == (2, 3)
    assert Claims().claim(CLIENT, Claim(1, OTHER, ONE, 1, 5), known=False) == [Answer(CLIENT, Claimed(1, 0, 0))]


def test_a_batch_that_is_forgotten_takes_its_claims_along() -> None:
    """Nothing is kept of it."""
    bench = Bench()
    bench.claim(ONE, 1, 3)
    bench.claims.drop_batch(BATCH)
    assert bench.claim(ONE, 1, 3) == (0, 1)
