from dataclasses import replace

import pytest
import yaml

from results import export
from results.records import FinalistRecord, StopReason, TrialRecord, TrialState
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunError, RunStore
from tests.results.example_run import add_finalist, add_trial
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig
from trainables.final_model.best_config import read_best

MANIFEST = {
    "name": "run",
    "dataset": {"name": "demo", "fingerprint": "abc", "image_size": 96},
    "published": {"val_top1": 0.529, "note": "30 epochs"},
    "provenance": {"commit": "c0ffee"},
}


def trial(number, state, best, *, reason=None, epochs=3):
    config = TrialConfig(network="resnet10", lr=0.001 * (number + 1), precision="float32")
    return TrialRecord(
        number=number,
        state=state,
        params={"lr": config.lr},
        config=config.to_dict(),
        reason=reason,
        epochs=epochs,
        best_epoch=2 if best is not None else None,
        best_val_top1=best,
        last_val_top1=best,
    )


@pytest.fixture
def run(tmp_path):
    store = RunStore.create(tmp_path / "run", MANIFEST)
    add_trial(store, trial(0, TrialState.COMPLETE, 0.50))
    add_trial(store, trial(1, TrialState.STOPPED, 0.61, reason=StopReason.RUNG))
    add_trial(store, trial(2, TrialState.COMPLETE, 0.61))
    add_trial(store, trial(3, TrialState.STOPPED, 0.90, reason=StopReason.DIVERGED))
    add_trial(store, trial(4, TrialState.FAILED, None, epochs=0))
    add_trial(store, trial(5, TrialState.RUNNING, None, epochs=0))
    store.add_epoch(5, metrics(1, 0.55))
    store.close()
    return tmp_path / "run"


def test_the_best_is_the_sound_trial_with_the_highest_latest_value_and_ties_go_to_the_earlier(run):
    best = yaml.safe_load(export.export(run).read_text(encoding="utf-8"))
    assert (best["trial"], best["value"], best["epoch"]) == (1, 0.61, 3)
    assert TrialConfig.from_dict(best["config"]).lr == 0.002
    assert best["baseline"]["value"] == 0.5
    assert best["baseline"]["published"]["val_top1"] == 0.529
    assert best["trials_considered"] == 5
    assert (best["dataset"], best["dataset_fingerprint"]) == ("demo", "abc")
    assert best["dataset_image_size"] == 96
    assert best["provenance"]["commit"] == "c0ffee"
    assert best["selected_by"] == export.RULE
    assert best["reason"] == export.REASON


@pytest.mark.parametrize("chosen", [None, 0.25])
def test_a_share_of_val_that_was_chosen_goes_to_final_training(tmp_path, chosen):
    dataset = MANIFEST["dataset"] | {"chosen_val": chosen}
    store = RunStore.create(tmp_path / "run", MANIFEST | {"dataset": dataset})
    add_trial(store, trial(0, TrialState.COMPLETE, 0.50))
    store.close()
    best = read_best(export.export(tmp_path / "run"))
    assert (best.val, best.selection.get("dataset_val")) == (chosen, chosen)


def add_finalists(run, tables, epochs=3):
    """A line for each (trial, repeat); a value of `None` has failed, "running" hasn't ended."""
    store = SideStore(FINALIST_FILES, run)
    for number, values in tables.items():
        for repeat, value in enumerate(values, 1):
            config = {"network": "resnet10", "epochs": epochs, "seed": 70 + repeat}
            state, top1 = TrialState.COMPLETE, value
            if not isinstance(value, float):
                state, top1 = TrialState(value or "failed"), None
            add_finalist(
                store,
                FinalistRecord(
                    trial=number, repeat=repeat, state=state, config=config, val_top1=top1
                ),
            )
    store.close()


def test_the_finalists_choose_where_there_are_any(run):
    add_finalists(run, {1: [0.50, 0.52, 0.54], 2: [0.56, 0.57, 0.58], 0: [0.49, 0.50, 0.51]})
    best = yaml.safe_load(export.export(run).read_text(encoding="utf-8"))
    assert (best["trial"], best["value"], best["epoch"]) == (2, 0.57, 3)
    assert best["selected_by"] == (
        "highest mean val_top1 of the last epoch over 3 repeats with fresh seeds, among 3 finalists"
    )
    assert TrialConfig.from_dict(best["config"]).lr == 0.003
    assert (best["baseline"]["value"], best["baseline"]["epoch"]) == (0.5, 3)
    assert (best["beats_baseline"], best["confidence"]) == (True, 0.95)
    assert best["seeds"] == [71, 72, 73]
    first, _, third = best["finalists"]
    assert (first["trial"], third["trial"]) == (2, 0)
    assert first["val_top1"] == [0.56, 0.57, 0.58]
    half = 4.302653 * 0.01 / 3**0.5  # t · s / √n
    assert (first["low"], first["high"]) == pytest.approx((0.57 - half, 0.57 + half), abs=2e-6)
    assert first["lead"]["mean"] == 0.07
    assert third["lead"] == {}


def test_a_trial_named_by_hand_is_exported_beside_finalists_too(run):
    add_finalists(run, {1: [0.5, 0.5], 2: [0.6, 0.6], 0: [0.4, 0.4]})
    best = yaml.safe_load(export.export(run, 1).read_text(encoding="utf-8"))
    assert (best["value"], best["selected_by"]) == (0.61, "--trial 1")
    assert "finalists" not in best


@pytest.mark.parametrize("tables", [
    {2: [0.6, "running"], 0: [0.4, 0.4]},
    {2: [0.6, None], 0: [None, 0.4]},
])  # fmt: skip
def test_as_long_as_no_finalist_has_won_the_trials_choose(run, tables):
    add_finalists(run, tables)
    best = yaml.safe_load(export.export(run).read_text(encoding="utf-8"))
    assert (best["trial"], best["value"]) == (1, 0.61)
    assert best["selected_by"] == export.RULE


def test_finalists_longer_than_the_trials_are_exported_at_their_length(run):
    add_finalists(run, {2: [0.6, 0.6], 1: [0.5, 0.5]}, epochs=9)
    best = yaml.safe_load(export.export(run).read_text(encoding="utf-8"))
    assert (best["config"]["epochs"], best["epoch"]) == (9, 9)
    assert (best["baseline"]["value"], best["beats_baseline"]) == (None, None)


def test_any_trial_can_be_exported_under_its_own_name(run):
    path = export.export(run, 2)
    assert path.name == "trial-2.yaml"
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["config"]["lr"] == 0.003
    with pytest.raises(RunError, match=r"but got 4; .* has 0, 1, 2, 5"):
        export.export(run, 4)


def test_a_trial_that_overfitted_since_its_best_epoch_is_not_the_best(tmp_path):
    """The maximum over epochs would choose trial 1, which a final training ends at 0.52."""
    store = RunStore.create(tmp_path / "run", MANIFEST)
    for number, values in enumerate([[0.3, 0.4, 0.5], [0.4, 0.7, 0.52], [0.3, 0.5, 0.6]]):
        epochs = [metrics(epoch, value) for epoch, value in enumerate(values, 1)]
        for epoch in epochs:
            store.add_epoch(number, epoch)
        store.add_trial(trial(number, TrialState.COMPLETE, None).reached(epochs))
    store.close()
    best = export.best_config(tmp_path / "run")
    assert (best["trial"], best["value"], best["epoch"]) == (2, 0.6, 3)
    assert (best["baseline"]["value"], best["baseline"]["epoch"]) == (0.5, 3)


def test_records_of_older_versions_are_ranked_by_their_epochs(tmp_path):
    store = RunStore.create(tmp_path / "run", MANIFEST)
    for number, values in enumerate([[0.4, 0.7, 0.52], [0.3, 0.5, 0.6]]):
        older = trial(number, TrialState.COMPLETE, max(values))
        store.add_trial(replace(older, last_val_top1=None))
        for epoch, value in enumerate(values, 1):
            store.add_epoch(number, metrics(epoch, value))
    store.close()
    best = export.best_config(tmp_path / "run")
    assert (best["trial"], best["value"], best["baseline"]["value"]) == (1, 0.6, 0.52)


def test_a_diverged_trial_is_never_exported(run, tmp_path):
    with pytest.raises(RunError, match="hasn't diverged, but got 3, which has diverged"):
        export.export(run, 3)
    store = RunStore.create(tmp_path / "diverged", MANIFEST)
    add_trial(store, trial(0, TrialState.STOPPED, 0.90, reason=StopReason.DIVERGED))
    add_trial(store, trial(1, TrialState.FAILED, 0.40))
    store.close()
    with pytest.raises(RunError, match="no best trial, because all of its 2 trials failed or div"):
        export.export(tmp_path / "diverged")


def test_the_command_line_says_what_to_type_next(run, capsys, tmp_path):
    assert export.main([str(run), "--to", str(tmp_path / "b.yaml")]) == 0
    assert f"trainables.final --config {tmp_path / 'b.yaml'}" in capsys.readouterr().out
    assert export.main([str(tmp_path / "nothing")]) == 2
    assert "is not a run" in capsys.readouterr().err


def test_a_winning_baseline_is_written_out_twice(run):
    text = export.export(run, 0).read_text(encoding="utf-8")
    assert "&id" not in text
    assert text.count("network: resnet10") == 2


def test_the_classes_are_named_at_the_end_in_few_lines(tmp_path):
    ids = [f"n{number:08d}" for number in range(200)] + ["no", "1e3", "grün", "a, b: c"]
    dataset = {**MANIFEST["dataset"], "class_ids": ids}
    store = RunStore.create(tmp_path / "run", MANIFEST | {"dataset": dataset})
    add_trial(store, trial(0, TrialState.COMPLETE, 0.50))
    store.close()
    path = export.export(tmp_path / "run")
    best = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(best)[-1] == "dataset_class_ids"
    assert best["dataset_class_ids"] == ids
    lines = path.read_text(encoding="utf-8").splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("dataset_class_ids: ["))
    assert len(lines) - begin < 204 / 7
    assert read_best(path).class_ids == tuple(ids)
    assert read_best(path).own


def test_a_run_of_an_older_version_names_no_classes(run):
    path = export.export(run)
    assert "dataset_class_ids" not in yaml.safe_load(path.read_text(encoding="utf-8"))
    assert read_best(path).class_ids is None


def test_a_run_without_an_epoch_has_no_best(tmp_path):
    RunStore.create(tmp_path / "run", MANIFEST).close()
    with pytest.raises(RunError, match="no trial with a finished epoch"):
        export.export(tmp_path / "run")


@pytest.fixture
def front(tmp_path):
    """Trials 1, 2 and 4 are on the front; trial 3 is as accurate as 2, but slower."""
    manifest = MANIFEST | {"options": {"objectives": "val_top1,latency_ms"}}
    store = RunStore.create(tmp_path / "front", manifest)
    seen = [(0.50, 20.0), (0.40, 5.0), (0.61, 9.0), (0.61, 8.0), (0.30, 4.0)]
    for number, (best, latency) in enumerate(seen):
        made = trial(number, TrialState.COMPLETE, best)
        add_trial(store, replace(made, latency_ms=latency, parameters_m=4.9))
    store.close()
    return tmp_path / "front"


def test_of_a_front_the_most_accurate_is_exported_and_any_other_on_demand(front):
    best = export.best_config(front)
    assert (best["trial"], best["value"]) == (3, 0.61)  # not trial 2, which is slower
    assert best["objectives"] == {"val_top1": 0.61, "latency_ms": 8.0}
    assert best["selected_by"] == (
        f"{export.RULE}, of the 3 on the Pareto front of val_top1, latency_ms"
    )
    other = export.best_config(front, 4)
    assert other["objectives"] == {"val_top1": 0.3, "latency_ms": 4.0}
    assert other["selected_by"] == "--trial 4"


def test_with_one_objective_a_best_config_names_no_others(run):
    assert "objectives" not in export.best_config(run)


def test_the_best_configuration_says_that_the_search_ended_by_its_gain(tmp_path):
    gain = {"ended": 12, "unit": "core-hour", "hour": 0.0006, "hour_upper": 0.0019}
    for min_gain, why in ((0.002, "less than --min-gain 0.002"), (0.001, None)):
        store = RunStore.create(
            tmp_path / str(min_gain), MANIFEST | {"options": {"min_gain": min_gain}}
        )
        add_trial(store, replace(trial(0, TrialState.COMPLETE, 0.5), gain=gain))
        store.close()
        best = export.best_config(tmp_path / str(min_gain))
        assert ("ended_by" in best) is (why is not None)
        assert why is None or why in best["ended_by"]
