"""Splits: every image once, every class in its share, the same every time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datasets.splits import stratified_sample, stratified_split

COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=8)


def labels_of(counts: list[int], seed: int) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


@given(COUNTS, st.integers(0, 100), st.sampled_from([0.1, 0.25, 0.5]))
def test_stratified_shares_every_class(counts: list[int], seed: int, fraction: float) -> None:
    labels = labels_of(counts, seed)
    rest, part = stratified_split(labels, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([rest, part])), np.arange(len(labels)))
    assert np.array_equal(part, np.sort(part))
    assert np.array_equal(rest, np.sort(rest))
    for label, count in enumerate(counts):
        wanted = max(1, round(fraction * count)) if count > 1 else 0
        assert np.count_nonzero(labels[part] == label) == wanted
    again = stratified_split(labels, fraction, seed)
    assert np.array_equal(again[0], rest)
    assert np.array_equal(again[1], part)


@given(st.lists(st.integers(2, 60), min_size=1, max_size=8), st.integers(0, 100))
def test_sample_is_as_large_as_val_and_outside_it(counts: list[int], seed: int) -> None:
    labels = labels_of(counts, seed)
    _, val = stratified_split(labels, 0.1)
    sample = stratified_sample(labels, val)
    assert len(np.intersect1d(sample, val)) == 0
    assert len(np.unique(sample)) == len(sample) == len(val)
    assert np.array_equal(np.bincount(labels[sample]), np.bincount(labels[val]))


def test_another_seed_is_another_split() -> None:
    labels = np.repeat(np.arange(4), 50)
    assert not np.array_equal(
        stratified_split(labels, 0.1, 1)[1], stratified_split(labels, 0.1, 2)[1]
    )
