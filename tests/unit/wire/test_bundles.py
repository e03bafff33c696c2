"""Bundles of records."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.bundles import bundles


@given(st.lists(st.integers(0, 20)), st.integers(1, 5), st.integers(0, 30))
def test_bundles_are_as_full_as_they_may_be(sizes: list[int], most: int, most_bytes: int) -> None:
    """Nothing is lost or moved; none is over either bound but one item that is too large alone; none could take the
    next item too."""
    found = list(bundles(sizes, most, most_bytes, lambda size: size))
    assert [size for bundle in found for size in bundle] == sizes
    for bundle in found:
        assert 1 <= len(bundle) <= most
        assert sum(bundle) <= most_bytes or len(bundle) == 1
    for bundle, following in itertools.pairwise(found):
        assert len(bundle) == most or sum(bundle) + following[0] > most_bytes
