"""tests/support/demo_truth.py says in which bucket a histogram has to find a quantile."""

import math
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "support"))

from demo_truth import Totals  # noqa: E402

BOUNDS = (100, 200, 400)


def totals(*at_most, requests=1000):
    return Totals(requests, 0, 0, dict(zip(BOUNDS, at_most)))


# Scenario: the quantile's rank lies well within a bucket, at a bucket's border, and beyond all bounds.
# Guarantees: it is that bucket; at the border both; and the last. An empty bucket between is no place for it, unless the rank is
# at its border.
@pytest.mark.parametrize("q, at_most, buckets", [
    (0.5, (400, 900, 1000), [(100, 200)]),
    (0.5, (500, 900, 1000), [(0, 100), (100, 200)]),
    (0.5, (498, 900, 1000), [(0, 100), (100, 200)]),
    (0.5, (490, 900, 1000), [(100, 200)]),
    (0.5, (300, 300, 1000), [(200, 400)]),
    (0.99, (100, 200, 300), [(400, math.inf)]),
    (0.95, (1000, 1000, 1000), [(0, 100)]),
])
def test_buckets(q, at_most, buckets):
    assert totals(*at_most).buckets_of(q, BOUNDS) == buckets


# Scenario: what was there at the first scrape is taken off.
# Guarantees: everything is, at every bound.
def test_subtracting():
    left = Totals(10, 2, 3.0, {100: 5, 200: 10}).add(Totals(1, 1, 0.5, {100: 0, 200: 1}), -1)
    assert (left.requests, left.errors, left.seconds, left.at_most) == (9, 1, 2.5, {100: 5, 200: 9})
    assert left.error_ratio == 1 / 9 and left.mean == 2.5 / 9
