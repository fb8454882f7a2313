"""Classes, pairs, calibration and the surest mistakes, against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import RecordError
from results.analysis.error_analysis import (
    EXAMPLES,
    by_class,
    calibration,
    confused_pairs,
    select_examples,
    sure_mistakes,
)
from results.predictions import read_predictions, softmax
from tests.results.example_final import drawn, make_final, make_predictions

SEVEN = make_predictions(
    labels=[0, 0, 0, 1, 1, 1, 2],
    said=[0, 1, 1, 0, 1, 2, 2],
    sure=[0.9, 0.6, 0.82, 0.7, 0.95, 0.65, 0.5],
)


def test_each_class_has_its_recall_its_precision_and_what_it_is_taken_for() -> None:
    first, second, third = by_class(SEVEN)
    assert (first.images, first.right, first.predicted, first.taken_for) == (3, 1, 2, (1, 2))
    assert (first.accuracy, first.precision) == (pytest.approx(1 / 3), 0.5)
    assert (second.right, second.taken_for) == (1, (0, 1))  # 0 and 2 once each: the lower number
    assert (third.accuracy, third.precision, third.taken_for) == (1.0, 0.5, None)


def test_a_class_that_test_lacks_has_no_accuracy() -> None:
    absent = by_class(make_predictions([0], [0], [0.9]))[2]
    assert (absent.accuracy, absent.precision) == (None, None)


def test_pairs_count_both_ways_and_show_the_surest_first() -> None:
    pair, other = confused_pairs(SEVEN)
    assert (pair.first, pair.second, pair.mistakes) == (0, 1, 3)
    assert (pair.first_as_second, pair.second_as_first) == (2, 1)
    assert pair.examples == (2, 3, 1)
    assert (other.first, other.second, other.mistakes) == (1, 2, 1)


def test_the_surest_mistakes_come_first() -> None:
    assert sure_mistakes(SEVEN) == [2, 3, 5, 1]


def test_calibration_weighs_bins_by_their_images() -> None:
    """0.6 and 0.65 may share a bin of 1/15, which changes nothing: both are wrong."""
    found = calibration(SEVEN)
    right, wrong = (0.9, 0.95, 0.5), (0.6, 0.82, 0.7, 0.65)
    assert found.ece == pytest.approx((sum(1 - c for c in right) + sum(wrong)) / 7, abs=1e-6)
    assert found.confidence == pytest.approx((sum(right) + sum(wrong)) / 7)
    assert [each.images for each in found.bins if each.low > 0.7] == [0, 1, 1, 1]


def test_a_bin_s_mean_counts_and_not_each_image() -> None:
    """Two of four right at 0.5 are calibrated; a network that is always sure and right is too."""
    half = make_predictions([0, 0, 0, 0], [0, 0, 1, 1], [0.5] * 4)
    assert calibration(half).ece == pytest.approx(0, abs=1e-6)
    sure = make_predictions([0, 1], [0, 1], [1 - 1e-12] * 2)
    assert calibration(sure).ece == pytest.approx(0, abs=1e-6)
    assert calibration(sure).bins[-1].images == 2


def test_what_is_shown_is_kept_and_a_batch_at_least() -> None:
    found = drawn(400, 20)
    kept = set(select_examples(found).tolist())
    assert set(sure_mistakes(found)) <= kept
    for pair in confused_pairs(found):
        assert len(pair.examples) == min(EXAMPLES, pair.mistakes)
        assert set(pair.examples) <= kept
    perfect = make_predictions([0] * 40, [0] * 40, [0.9] * 40)
    assert select_examples(perfect).tolist() == list(range(16))


def test_flip_averaging_takes_the_mean_of_logits() -> None:
    assert SEVEN.right.mean() == pytest.approx(3 / 7)
    assert SEVEN.flip_averaged_top1() == 1.0  # mirror images are right, and surer


def test_infinite_logits_are_probabilities_all_the_same() -> None:
    shares = softmax(np.array([[np.inf, 0, -np.inf], [np.nan, 1, 1]], dtype=np.float32))
    assert np.isfinite(shares).all()
    assert shares[0].tolist() == [1, 0, 0]


def test_they_are_read_back_as_they_were(tmp_path: Path) -> None:
    folder = make_final(tmp_path / "final", SEVEN)
    found = read_predictions(folder)
    assert np.array_equal(found.logits, SEVEN.logits)
    assert (found.origin, len(found.examples), found.pixels.shape) == ("made", 7, (7, 64, 64, 3))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("labels", np.array([0, 1, 2, 3, 0, 0, 0]), "names no class"),
        ("mirrored", np.zeros((7, 2), np.float32), r"mirrored has the shape \(7, 2\)"),
        ("examples", np.array([9]), "examples|pixels|names no class or no image"),
        ("logits", np.zeros(7, np.float32), "is damaged"),
        ("predicted", np.zeros(7, np.int32), "of int32"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    name: str, value: object, said: str, tmp_path: Path
) -> None:
    folder = make_final(tmp_path / "final", SEVEN)
    with (folder / "predictions.npz").open("wb") as file:
        np.savez(file, **(SEVEN.arrays() | {name: value}))  # type: ignore[arg-type]
    with pytest.raises(RecordError, match=said) as raised:
        read_predictions(folder)
    assert "predictions.npz is damaged" in str(raised.value)


def test_a_final_training_without_them_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="must be there, for test is opened once"):
        read_predictions(tmp_path)
