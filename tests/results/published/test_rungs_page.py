import numpy as np
import pytest

from results.analysis.rung_worth import spearman
from results.published import make_rungs
from results.published.make_rungs import (
    bootstrapped,
    other_seed,
    statistics,
    worth_of,
)
from results.published.rung_witnesses import Table, curves_table, own_table
from tests.results.recorded_table import recorded, trained, write

ROWS = 30


def recording(**early):
    trainings = [trained(row, end=row / ROWS, **early) for row in range(ROWS)]
    return recorded([*trainings, *(trained(r, "third", end=r / ROWS) for r in range(5))])


def test_each_witness_has_its_cost_and_its_values():
    table = own_table("x", recording(early=0.5))
    found = {f"{each.kind} {each.when}": each for each in table.witnesses}
    assert {name: round(each.cost, 3) for name, each in found.items()} == {
        "accuracy at epoch 3": 0.2, "average at epoch 3": 0.2, "accuracy at epoch 9": 0.6,
        "average at epoch 9": 0.6, "average at epoch 15": 1.0,
        "cool-down after epoch 3": round(10 / 30, 3), "annealed for 5 epochs": round(10 / 30, 3),
    }  # fmt: skip
    assert list(table.ends[:, 0]) == pytest.approx([row / ROWS for row in range(ROWS)])
    assert (found["accuracy at epoch 3"].values == 0.5).all()
    assert np.isnan(found["annealed for 5 epochs"].values).sum() == ROWS - 5
    costs = [each.cost for each in table.witnesses]
    assert costs == sorted(costs)


def test_a_witness_that_tells_all_loses_nothing_and_the_opposite_loses_the_best():
    ends = np.arange(30.0) / 100
    assert statistics(ends, ends) == pytest.approx([1, 1, 1, 0])
    # The upper third of the opposite are the ten worst, of which the best has 0.09.
    assert statistics(-ends, ends) == pytest.approx([-1, -1, 0, 0.2])
    assert statistics(np.zeros(30), ends)[0] == 0
    assert spearman(np.array([1.0, 2, 4, 3]), np.array([1.0, 2, 3, 4])) == pytest.approx(0.8)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng, inside = np.random.default_rng(3), 0
    for _ in range(40):
        early, noise = rng.normal(size=(2, 60, 1))
        _, low, high = bootstrapped(early, early + 1.5 * noise, 100)
        # Pearson's is 1 / sqrt(1 + 1.5²) = 0.555; Spearman's of normals is 6 / π · asin(r / 2).
        inside += low[0] <= 6 / np.pi * np.arcsin(0.5547 / 2) <= high[0]
    assert 33 <= inside <= 40


def test_repeats_give_the_correlation_of_two_seeds():
    ends = np.stack([np.arange(12.0), np.arange(12.0)[::-1], np.full(12, np.nan)], axis=1)
    table = Table(name="x", ends=ends, witnesses=())
    assert other_seed(Table(name="x", ends=ends[:4], witnesses=())) is None
    assert np.nanmax(np.abs(other_seed(table)[:, 1] - ends[:, 0])) == 0
    (worth,) = worth_of(table, 50)
    assert (worth.witness.kind, worth.count) == ("other seed", 12)


def test_the_page_shows_tables_that_are_large_enough(tmp_path):
    trainings = recording().trainings
    write(tmp_path / "made.npz", trainings)
    write(tmp_path / "few.npz", trainings[:5])
    page = tmp_path / "rungs.md"
    make_rungs.main(["--tables", str(tmp_path), "--out", str(page), "--resamples", "20"])
    text = page.read_text(encoding="utf-8")
    assert "## `made`: 30 configurations" in text
    assert "few" not in text.split("decides nothing")[1]
    assert "| accuracy at epoch 3 | 0.200 | 30 | 1.00 [" in text
    assert "| average at epoch 3 | 0.200 | 30 | -1.00 [" in text
    figure = (tmp_path / "rungs-made.svg").read_text(encoding="utf-8")
    assert ">accuracy<" in figure
    assert ">cool-down<" not in figure  # it is known at one time only


def test_imagenet_trainings_that_failed_do_not_count(tmp_path):
    np.savez(
        tmp_path / "imagenet.npz",
        submission=np.array(["a", "a", "b", "b"]),
        trial=np.array(["1", "1", "1", "2"]),
        study=np.array([0, 1, 0, 0]),
        last_step=np.array([186_666, 186_666, 20_000, 186_666]),
        val_accuracy=np.repeat(np.array([[70.0], [71.0], [99.0], [60.0]]), 50, axis=1),
    )
    table = curves_table(tmp_path / "imagenet.npz")
    assert table.ends.shape == (2, 2)
    assert table.ends[:, 0].tolist() == pytest.approx([0.7, 0.6])
    assert [round(each.cost, 2) for each in table.witnesses] == [0.06, 0.18, 0.54]
