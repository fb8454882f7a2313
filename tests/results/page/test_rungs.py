"""What a page shows of the rungs."""

from pathlib import Path

from optuna.distributions import FloatDistribution

from results.page.report_page import page
from results.page.run_data import read_run
from results.page.table import rung_table
from results.records import StopReason, TrialState
from tests.results.example_run import Made, make_run

RANGES = {"lr": FloatDistribution(0.0, 1.0)}


def run(directory: Path, passed: int, **manifest: object) -> Path:
    """A run whose rung at epoch 1 turns the order of `passed` trials round and stops another."""
    made = [
        Made(params={"lr": n / 100}, values=[0.1 + n / 100, 0.5, 0.9 - n / 100])
        for n in range(passed)
    ]
    made.append(
        Made(params={"lr": 1.0}, values=[0.05], state=TrialState.STOPPED, reason=StopReason.RUNG)
    )
    dataset = {"dataset": {"name": "demo", "fingerprint": "f"}}
    return make_run(directory, RANGES, made, epochs=3, manifest=dataset | manifest)


def test_worthless_rungs_are_shown_with_the_remedy(tmp_path: Path) -> None:
    made = run(tmp_path / "a", passed=24, options={"space": "demo"})
    found = rung_table(read_run(made))
    [(rung, later, trials, correlation, best)] = found.rows
    assert (rung, later, trials, best) == ("1", "3", "24", "0%")
    assert correlation.startswith("-1.00 (")
    command = f"python -m search.run --space demo --epochs 3 --grace 3 --warm-start {made}"
    assert found.advice.endswith(f": begin a new search with `{command}`.")
    text = page(made)
    assert "<h2>What the rungs tell</h2>" in text
    assert found.advice.replace("'", "&#39;") in text


def test_few_trials_and_several_objectives_show_nothing_yet(tmp_path: Path) -> None:
    few = rung_table(read_run(run(tmp_path / "a", passed=4)))
    assert (few.rows, few.advice) == ([("1", "3", "4", "not known yet", "–")], "")
    options = {"options": {"objectives": "val_top1,parameters_m"}}
    several = rung_table(read_run(run(tmp_path / "b", passed=24, **options)))
    assert (several.rows, several.advice) == ([], "")
