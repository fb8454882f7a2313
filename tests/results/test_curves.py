import numpy as np
import pandas as pd
import pytest

from results import curves
from results.published import make_curves
from tests.results.recorded_table import recorded, trained, write


@pytest.fixture
def table(tmp_path):
    trainings = [trained(row, end=0.2 + row / 100) for row in range(12)]
    return write(tmp_path / "made.npz", [*trainings, trained(3, "third", seed=1, end=0.4)])


def test_each_epoch_is_a_row_that_joins_its_configuration(table):
    epochs = curves.epochs(table)
    assert list(epochs.columns[:5]) == ["row", "seed", "fidelity", "images", "epoch"]
    assert len(epochs) == 12 * 15 + 5
    configurations = curves.configurations(table)
    assert configurations["origin"].tolist() == ["baseline"] + ["uniform"] * 11
    joined = epochs.merge(configurations, on="row")
    (last,) = joined[(joined["row"] == 7) & (joined["epoch"] == 15)].to_dict("records")
    assert last["val_top1"] == pytest.approx(0.27)
    assert last["params.lr"] == pytest.approx(0.008)
    third = epochs[epochs["fidelity"] == "third"]
    assert third["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert set(third["seed"]) == {1}


def test_the_command_writes_csv_or_a_summary(table, tmp_path, capsys):
    out = tmp_path / "made.csv"
    assert curves.main([str(table), "--csv", str(out)]) == 0
    assert "185 epochs of 12 rows" in capsys.readouterr().out
    read = pd.read_csv(out)
    assert len(read) == 185
    assert np.isclose(read["params.lr"].max(), 0.012)
    assert curves.main([str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith("full")] == [
        ["full", "12.0", "0.255", "0.036", "0.2", "0.228", "0.255", "0.282", "0.31"]
    ]


def test_a_card_shows_the_best_and_the_worst(tmp_path):
    figure = make_curves.picture("made", recorded(trained(row, end=row / 50) for row in range(20)))
    for name in ("best 2 of 20", "middle 2", "worst 2", "baseline"):
        assert f">{name}<" in figure
    band = make_curves._band("x", [[1.0, 2.0], [3.0, 6.0]])
    assert (band.middle, band.low, band.high) == ([2.0, 4.0], [1.0, 2.0], [3.0, 6.0])
