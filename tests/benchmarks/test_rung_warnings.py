"""The measurement of warnings about rungs, on tables made so."""

import numpy as np

from tests.benchmarks.rung_warnings import measure, true_correlations


def table(path, early, late):
    """Configurations that keep their early value up to epoch 4 of 9, and then have the late one."""
    val = np.repeat(np.stack([early, late], axis=1), (4, 5), axis=1)
    np.savez(path, configs=early[:, None], names=np.array(["lr"]), val_accuracy=100 * val)
    return path


def test_a_warning_is_wrong_where_the_rung_tells_something(tmp_path):
    early = np.random.default_rng(0).permutation(300) / 300
    same = measure(table(tmp_path / "same.npz", early, early), searches=3, trials=60)
    turned = measure(table(tmp_path / "turned.npz", early, 1 - early), searches=3, trials=100)
    assert np.allclose(same[0], [1.0])
    assert same[1:] == (0.0, 0.0)
    assert np.allclose(turned[0], [-1.0])
    assert turned[1:] == (1.0, 0.0)


def test_the_truth_is_that_of_the_rows_that_pass():
    early = np.arange(9) / 9
    late = np.where(early > 0.6, 1 - early, early)
    assert np.allclose(true_correlations(np.stack([early, late], axis=1), (1, 2)), [-1.0])
