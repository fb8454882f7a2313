"""The page of a run: what it says, number by number."""

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from results.analysis.intervals import proportion
from results.overview.run_overview import RunState, overview_of
from results.page.best_so_far import best_so_far, progress
from results.page.curves import learning, learning_curves, part
from results.page.formatting import OUTCOMES, WINNER
from results.page.headline import make_headline
from results.page.importance import importance, importance_section
from results.page.parameters import parallel, parameters, slice_of, varied
from results.page.report_page import page
from results.page.run_data import Run, read_run
from results.page.table import Cell, screening_table, table
from results.page.time_use import seconds_by_use, survival, times_by_outcome
from results.page.tradeoff import tradeoff
from results.records import FinalistRecord, ScreeningRecord, StopReason, TrainingId, TrialState
from results.report import main, write_report
from results.side_store import FINALIST_FILES, SCREENING_FILES, SideStore
from tests.results.example_run import Made, make_run
from tests.results.example_search import ADAMW, MANIFEST, RANGES, SIX, add_final, many, six
from tests.search.study_on_curves import metrics


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return read_run(six(tmp_path / "six"))


def traces(figure: Any) -> dict[str, Any]:
    """By name; of a kind's several parts the first."""
    found: dict[str, Any] = {}
    for trace in figure.data:
        found.setdefault(trace.name, trace)
    return found


def cards(run: Run) -> dict[str, tuple[str, str]]:
    return {card.label: (card.number, card.note) for card in make_headline(run).cards}


def test_one_seed_s_accuracy_has_the_interval_of_its_images(run: Run) -> None:
    """Wilson's, by hand: 550 and 340 of 1,000."""
    known = run.manifest | {"dataset": run.manifest["dataset"] | {"val_images": 1000}}
    found = cards(replace(run, manifest=known))
    told = "for 1,000 images; trial 2, epoch 4, one seed"
    assert found["best val_top1"] == ("55.0 %", f"51.9 … 58.1 % {told}")
    assert found["baseline val_top1"][1].startswith("31.1 … 37.0 % for 1,000 images; trial 0")


def test_the_answer_tells_the_best_trial_against_the_baseline(run: Run) -> None:
    found = make_headline(run)
    assert found.headline == "Trial 2 reaches 55.0 % on val, 21.0 points more than the baseline."
    assert "One seed chose it" in found.caution
    assert cards(run) == {
        "best val_top1": ("55.0 %", "trial 2, epoch 4, one seed"),
        "test top-1": ("–", "opened by final training alone: see below"),
        "baseline val_top1": ("34.0 %", "trial 0, epoch 4, one seed"),
        "published val top-1": ("56.9 %", "on 64 px"),
        # 13 epochs of 1.5 s each, at half a GPU.
        "cost: training time": (
            "20 s",
            "of all workers; 6 trials, 13 epochs, 1 h 30 min on the clock, 0.00 GPU-hours",
        ),
    }
    changed = {s.name: (s.best, s.baseline) for s in found.settings if s.changed}
    assert changed == {"lr": ("0.0001", "0.001")}
    assert found.commands[-1] == (
        f"python -m trainables.final --config {run.directory / 'best.yaml'}"
    )


def test_final_trainings_are_told_by_the_trial_that_they_trained(tmp_path: Path) -> None:
    directory = six(tmp_path / "six")
    add_final(directory, "final", 2, 0.5)
    add_final(directory, "baseline", 0, 0.4)
    (directory / "torn").mkdir()
    (directory / "torn" / "final.json").write_text('{"test_top1":', encoding="utf-8")
    found = cards(read_run(directory))
    assert found["test top-1"] == (
        "50.0 %",
        "46.9 … 53.1 % for 1,000 images; 12 epochs on train and val, in 10 min",
    )
    assert found["baseline val_top1"][1].endswith("; test 40.0 % after 12 epochs")


def test_repeats_and_flip_averaging_stand_beside_the_test_figure(tmp_path: Path) -> None:
    """Student's t with one degree of freedom: 12.706 · 0.01. The same seed counts once."""
    directory = six(tmp_path / "six")
    add_final(directory, "final", 2, 0.5, test_top1_flip=0.51)
    add_final(directory, "final/repeat-2", 2, 0.52, seed=1)
    add_final(directory, "final/repeat-3", 2, 0.9, seed=0)
    assert cards(read_run(directory))["test top-1"][1].endswith(
        "in 10 min; 51.0 % with flip averaging; mean of 2 seeds 51.0 %, 38.3 … 63.7 %"
    )


def test_a_proportion_has_wilson_s_interval() -> None:
    half, all_hit = proportion(0.5, 100), proportion(1.0, 10)
    assert (half.low, half.high) == pytest.approx((0.40383, 0.59617), abs=1e-5)
    assert (all_hit.low, all_hit.high) == pytest.approx((0.72247, 1.0), abs=1e-5)


def test_finalists_give_their_means_with_intervals(tmp_path: Path) -> None:
    directory = six(tmp_path / "six")
    store = SideStore(FINALIST_FILES, directory)
    for trial, values in {0: (0.30, 0.32), 2: (0.50, 0.52)}.items():
        for repeat, value in enumerate(values, 1):
            config = ADAMW | {"epochs": 4, "seed": 100 + repeat}
            store.add(
                FinalistRecord(
                    trial=trial, repeat=repeat, state=TrialState.COMPLETE, config=config,
                    epochs=1, val_top1=value, wall_s=6.0,
                )
            )  # fmt: skip
            store.add_epoch(TrainingId(trial, repeat), metrics(1, value))
    store.close()
    run = read_run(directory)
    assert make_headline(run).headline == (
        "Trial 2 reaches 51.0 % on val over 2 fresh seeds and beats the baseline beyond noise, by "
        "20.0 points (+20.0 … +20.0)."
    )
    # Student's t with one degree of freedom: 12.706 · 0.01.
    assert cards(run)["best val_top1"] == (
        "51.0 %",
        "38.3 … 63.7 %, mean of 2 seeds after 4 epochs",
    )
    assert "6 trials and 4 repeats of finalists, 17 epochs" in cards(run)["cost: training time"][1]
    assert times_by_outcome(run)["finalists"]["training"] == pytest.approx(4.0)


def test_a_short_training_that_was_cut_off_is_unfinished(tmp_path: Path) -> None:
    directory = six(tmp_path / "six")
    assert read_run(directory).unfinished == 0
    store = SideStore(SCREENING_FILES, directory)
    store.add(
        ScreeningRecord(number=0, params={}, images=0.25, state=TrialState.RUNNING, config=ADAMW)
    )
    store.close()
    assert read_run(directory).unfinished == 1
    assert overview_of(directory).state is RunState.INTERRUPTED


def test_short_trainings_stand_before_the_trials(tmp_path: Path) -> None:
    directory = six(tmp_path / "six")
    store = SideStore(SCREENING_FILES, directory)
    params = read_run(directory).trials[2].params
    for number, accuracy in enumerate((0.2, 0.6, 0.4, 0.3, 0.5, None)):
        training = TrainingId(number, screening=True)
        if accuracy is not None:
            store.add_epoch(training, metrics(1, accuracy))
        store.add(
            ScreeningRecord(
                number=number, params=params if number == 1 else {"lr": 0.1 * number}, images=0.25,
                state=TrialState.FAILED if accuracy is None else TrialState.COMPLETE,
                config=ADAMW | {"epochs": 1}, epochs=int(accuracy is not None), val_top1=accuracy,
                detail="it broke" if accuracy is None else None, wall_s=1.5,
            )
        )  # fmt: skip
    store.close()
    run = read_run(directory)
    found = screening_table(run)
    assert [row[0] for row in found.rows] == ["1", "4", "2", "3", "baseline", "5"]
    assert found.rows[0][:4] == ["1", "60.0 %", "complete", "2"]
    assert found.rows[-1][:4] == ["5", "–", "it broke", "–"]
    assert found.rows[1][found.columns.index("lr")] == "0.4"
    sized = run.manifest | {"dataset": {"val_images": 100}, "screening": {"count": 9}}
    assert screening_table(replace(run, manifest=sized)).worth.startswith("5 short trainings tell")
    running = replace(run, manifest=sized, trials={0: run.trials[0]})
    assert screening_table(running).worth == ""  # three of nine haven't begun
    before, after = read_run(six(tmp_path / "alone")), [step.seconds for step in progress(run)]
    assert after == pytest.approx([step.seconds + 7.5 for step in progress(before)])
    assert times_by_outcome(run)["screening"]["training"] == pytest.approx(5.0)
    assert "5 short trainings before them" in cards(run)["cost: training time"][1]
    page = write_report(directory).read_text(encoding="utf-8")
    assert "What came before the trials" in page
    assert "What came before the trials" not in write_report(six(tmp_path / "no")).read_text(
        encoding="utf-8"
    )


def test_a_baseline_that_is_best_is_said_to_be(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "a", RANGES, SIX[:2], 4, MANIFEST))
    found = make_headline(run)
    assert found.headline == "No trial beats the baseline, which reaches 34.0 % on val."
    assert "lead" not in found.caution
    assert "baseline val_top1" not in cards(run)


def test_a_run_in_which_all_diverged_is_no_success(tmp_path: Path) -> None:
    directory = make_run(tmp_path / "a", RANGES, [SIX[3], SIX[4]], 4, MANIFEST)
    run = read_run(directory)
    found = make_headline(run)
    assert found.headline == "No trial has succeeded."
    assert found.caution.startswith("How its 2 trials stand: stopped: diverged 1, failed 1.")
    assert (found.settings, found.commands, run.winner) == ([], [], None)
    assert [card.label for card in found.cards] == ["cost: training time"]
    assert "best" not in [panel.key for panel in learning(run).panels]
    assert [row.mark for row in table(run).rows] == ["baseline", ""]
    page = write_report(directory).read_text(encoding="utf-8")
    assert "Train it to the end" not in page
    assert 'class="card best"' not in page
    assert "no CUDA" in page
    assert WINNER not in page.split('id="data-figures">')[1].split("</script>")[0]


@pytest.mark.parametrize(
    ("first", "caution"),
    [
        (SIX[3], "The baseline has no result to compare with (stopped: diverged)."),
        (SIX[4], "The baseline has no result to compare with."),
    ],
)
def test_a_lead_is_only_stated_over_a_baseline_that_succeeded(
    tmp_path: Path, first: Made, caution: str
) -> None:
    found = make_headline(read_run(make_run(tmp_path / "a", RANGES, [first, SIX[2]], 4, MANIFEST)))
    assert found.headline == "Trial 1 reaches 55.0 % on val."
    assert found.caution.startswith(caution)
    assert "lead" not in found.caution


def test_curves_are_coloured_by_why_they_ended(run: Run) -> None:
    found = traces(learning_curves(run))
    assert list(found) == [
        "stopped: rung (2)",
        "stopped: diverged (1)",
        "baseline",
        "best: trial 2",
    ]
    assert found["best: trial 2"].y == (0.25, 0.40, 0.50, 0.55, None)
    assert set(found["stopped: rung (2)"].customdata) == {1, 5, None}


def test_a_stopped_curve_fades_over_its_last_two_epochs() -> None:
    curve = [metrics(epoch, 0.1) for epoch in range(1, 6)]
    assert [[m.epoch for m in part(curve, i)] for i in range(3)] == [[1, 2, 3], [3, 4], [4, 5]]
    assert [len(part(curve[:1], i)) for i in range(3)] == [1, 1, 1]
    assert [[m.epoch for m in part(curve[:2], i)] for i in range(3)] == [[1], [1], [1, 2]]


def test_the_best_so_far_is_told_over_training_time(run: Run) -> None:
    # Trials were recorded one after the other, 1.5 s an epoch; the diverged one never counts.
    steps = [(step.trial, step.top1, round(step.seconds, 3)) for step in progress(run)]
    assert steps == [(0, 0.20, 1.5), (0, 0.30, 3.0), (0, 0.35, 4.5), (0, 0.34, 6.0),
                     (2, 0.40, 12.0), (2, 0.50, 13.5), (2, 0.55, 15.0)]  # fmt: skip
    drawn = traces(best_so_far(run))
    assert drawn["best so far"].x[-1] == pytest.approx(13 * 1.5)
    assert {"baseline 34.0 %", "published 56.9 %"} <= set(drawn)


def test_survival_counts_the_trials_that_trained_each_epoch(run: Run) -> None:
    found = traces(survival(run))
    assert found["complete"].y == (2, 2, 2, 2)
    assert found["stopped: rung"].y == (2, 2, 0, 0)
    assert found["stopped: diverged"].y == (1, 0, 0, 0)
    assert "failed" not in found


def test_time_is_divided_by_what_was_done() -> None:
    older = metrics(1, 0.5)
    newer = metrics(1, 0.5)
    object.__setattr__(newer, "loading_s", 0.25)
    object.__setattr__(newer, "start_s", 0.5)
    object.__setattr__(newer, "idle_s", 0.125)
    assert seconds_by_use([older]) == {
        "training": 1.0, "evaluation": 0.5, "loading": 0.0, "starting": 0.0, "idle": 0.0,
    }  # fmt: skip
    assert seconds_by_use([newer]) == {
        "training": 0.75, "evaluation": 0.5, "loading": 0.25, "starting": 0.25, "idle": 0.125,
    }  # fmt: skip


def test_parallel_axes_hold_choices_powers_of_ten_and_what_is_missing(run: Run) -> None:
    assert varied(run) == ["lr", "optimizer", "freeze_depth", "flip"]
    axes = {
        axis.label: axis
        for axis in parallel(run, ["lr", "optimizer", "momentum"]).data[0].dimensions
    }
    # Sorted by val_top1, lowest first: trials 1, 5, 0, 2, 3.
    assert axes["lr"].values == pytest.approx((-2, -3, -3, -4, -1))
    assert axes["optimizer"].values == (1.0, 0.0, 0.0, 0.0, 1.0)
    assert axes["optimizer"].ticktext == ("adamw", "sgd")
    assert axes["momentum"].values == (0.9, 0.8, 0.8, 0.8, 0.9)
    assert axes["momentum"].ticktext[0] == "–"
    assert axes["val_top1"].values == (0.2, 0.25, 0.34, 0.55, 0.6)
    assert axes["val_top1"].ticktext == ("20.0 %", "25.0 %", "34.0 %", "55.0 %", "60.0 %")
    assert axes["lr"].ticktext == ("0.0001", "0.001", "0.01", "0.1")


def test_a_slice_has_the_trials_with_the_parameter(run: Run) -> None:
    found = traces(slice_of(run, "lr"))
    assert found["stopped: rung"].x == (1e-2, 1e-3)
    assert found["best"].y == (0.55,)
    assert slice_of(run, "lr").layout.xaxis.type == "log"
    assert traces(slice_of(run, "optimizer"))["stopped: rung"].x == ("sgd", "adamw")
    assert slice_of(run, "optimizer").layout.xaxis.categoryarray == ("adamw", "sgd")
    assert [trace.name for trace in slice_of(run, "momentum").data] == [
        "stopped: rung", "stopped: diverged",
    ]  # fmt: skip


def test_too_few_trials_give_no_importance_but_a_sentence(run: Run) -> None:
    section = parameters(run)
    assert [panel.key for panel in section.panels] == [
        "parallel", "slice-lr", "slice-optimizer", "slice-freeze_depth", "slice-flip",
    ]  # fmt: skip
    assert section.notes == [
        "No importance and no interactions: 16 trials of different val_top1 at one rung are "
        "needed, and 5 came to the first."
    ]


def test_importance_counts_stopped_trials_and_names_what_decided(tmp_path: Path) -> None:
    run = read_run(many(tmp_path / "many", 40))
    found, notes = importance_section(run.directory)
    assert notes == []
    panels = {panel.key: panel for panel in found}
    first = panels["importance"].figure.data[0]
    assert first.name == "epoch 3 (40)"
    assert first.y[0] == "lr"
    assert first.x[0] > 0.5
    assert first.marker.symbol[0] == "circle"
    pairs = [key for key in panels if key.startswith("pair-lr-")]
    assert len(pairs) == 2
    _, x, y = pairs[0].split("-")
    both = [r for r in run.trials.values() if x in r.params and y in r.params]
    assert len(panels[pairs[0]].figure.data[0].x) == len(both)


def test_a_run_without_its_journal_has_a_page_all_the_same(tmp_path: Path) -> None:
    directory = six(tmp_path / "six")
    (directory / "journal.log").unlink()
    section = parameters(read_run(directory))
    assert section.notes[0].startswith("journal.log is missing")
    assert section.notes[1].startswith("No importance: ")
    assert "slice-lr" in [panel.key for panel in section.panels]


def test_several_objectives_have_their_front(tmp_path: Path) -> None:
    latencies = {0: 1.0, 1: 0.5, 2: 3.0}
    options = MANIFEST["options"] | {"objectives": "val_top1,latency_ms"}
    directory = six(tmp_path / "six", options=options)
    lines = [
        json.loads(line)
        for line in (directory / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for line in lines:
        line["latency_ms"] = latencies.get(line["number"], 4.0)
        line.pop("chain", None)
    (directory / "trials.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    panel = tradeoff(read_run(directory)).panels[0]
    front = traces(panel.figure)["Pareto front"]
    assert (front.x, front.y) == ((0.5, 1.0, 3.0), (0.20, 0.34, 0.55))


def test_the_table_has_all_trials_best_first(run: Run) -> None:
    found = table(run)
    assert found.columns[:7] == ["trial", "val_top1", "highest", "epochs", "gap", "ended", "time"]
    assert found.columns[7:] == ["lr", "optimizer", "freeze_depth", "flip", "momentum"]
    assert [row.cells[0].text for row in found.rows] == ["2", "0", "5", "1", "3", "4"]
    assert [row.mark for row in found.rows] == ["best", "baseline", "", "", "", ""]
    best = found.rows[0].cells
    assert [cell.text for cell in best[1:7]] == ["55.0 %", "55.0 %", "4", "+5.0", "complete", "6 s"]
    assert found.rows[1].cells[2] == Cell(text="35.0 %", key=0.35, hint="at epoch 3")
    assert best[7].key == 1e-4
    assert best[-1].key is None
    assert found.rows[3].cells[5].hint == "not in the top 1/3"
    assert found.outcomes == {
        "complete": "complete", "rung": "stopped: rung", "diverged": "stopped: diverged",
        "failed": "failed",
    }  # fmt: skip


def test_what_comes_from_a_run_is_never_markup(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    trials = [
        Made(params=ADAMW | {"optimizer": "sgd"}, values=[0.2, 0.3], detail=evil),
        Made(params=ADAMW | {"optimizer": evil}, values=[0.1, 0.4], detail=evil),
    ]
    from optuna.distributions import CategoricalDistribution

    ranges = RANGES | {"optimizer": CategoricalDistribution(["sgd", evil])}
    directory = make_run(
        tmp_path / "run", ranges, trials, 2, MANIFEST | {"name": evil, "space": evil}
    )
    text = page(directory)
    assert "<img" not in text
    assert text.count("</script>") == 3
    assert "&lt;img src=x" in text
    named = json.loads(within(text, "data-figures"))["slice-optimizer"]["data"]
    assert {x for trace in named for x in trace["x"]} == {
        "sgd", "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;",
    }  # fmt: skip


def within(text: str, element: str) -> str:
    """What stands in the script element of this id."""
    found = re.search(rf'<script type="[^"]+" id="{element}">(.*?)</script>', text, flags=re.DOTALL)
    assert found
    return found[1]


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    directory = six(tmp_path / "six")
    path = write_report(directory)
    assert path == directory / "report.html"
    text = path.read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', text)
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "default-src 'none'" in text
    packed = base64.b64decode(within(text, "data-plotly"))
    assert gzip.decompress(packed).decode() == get_plotlyjs()
    assert path.stat().st_size < 2_300_000


def test_figures_hold_six_digits_of_each_number(tmp_path: Path) -> None:
    exact = [replace(made, values=[v + 1 / 3_000 for v in made.values]) for made in SIX]
    made = make_run(tmp_path / "run", RANGES, exact, 4, MANIFEST)
    text = within(page(made), "data-figures")
    numbers = re.findall(r"[-:\[,](\d+\.\d+)", text)
    assert len(numbers) > 100
    assert max(len(each.replace(".", "").strip("0")) for each in numbers) == 6
    drawn = json.loads(text)["curves"]["data"]
    (marked,) = [each for each in drawn if each["name"].startswith("best: ")]
    assert marked["y"][:-1] == [round(v + 1 / 3_000, 6) for v in SIX[2].values]


def test_a_page_is_written_where_it_is_asked_for(tmp_path: Path, capsys: Any) -> None:
    directory = six(tmp_path / "six")
    assert main([str(directory), "--to", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}\n"
    assert not (directory / "report.html").exists()


def test_a_run_without_an_epoch_shows_why(tmp_path: Path) -> None:
    directory = make_run(tmp_path / "a", RANGES, [SIX[4]], 4, MANIFEST)
    page = write_report(directory).read_text(encoding="utf-8")
    assert "No trial has succeeded." in page
    assert "no CUDA" in page


def test_a_run_without_a_trial_is_refused(tmp_path: Path, capsys: Any) -> None:
    directory = make_run(tmp_path / "a", RANGES, [], 4, MANIFEST)
    assert main([str(directory)]) == 2
    assert "has no trial yet; let it run longer" in capsys.readouterr().err
    assert not (directory / "report.html").exists()


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    trials = [*SIX[:3], Made(params=ADAMW, values=[0.3], state=TrialState.RUNNING)]
    directory = make_run(tmp_path / "a", RANGES, trials, 4, MANIFEST)
    run = read_run(directory)
    assert run.unfinished == 1
    assert traces(learning_curves(run))["unfinished (1)"].y == (0.3, None)
    assert '<strong class="open">1 unfinished</strong>' in page(directory)


def test_importance_is_drawn_most_important_on_top(tmp_path: Path) -> None:
    from results.analysis.explained_variance import Importance
    from results.importance import Comparison

    def told(**shares: float) -> dict[str, Importance]:
        return {
            name: Importance(share=share, low=max(0.0, share - 0.5), high=1.0)
            for name, share in shares.items()
        }

    figure = importance(
        [
            Comparison(epoch=3, trials=40, parameters=told(lr=0.4, flip=0.6)),
            Comparison(epoch=9, trials=9, parameters=None),
            Comparison(epoch=30, trials=20, parameters=told(lr=0.9, flip=0.1)),
        ]
    )
    assert figure.layout.yaxis.categoryarray == ("flip", "lr")
    assert [trace.name for trace in figure.data] == ["epoch 3 (40)", "epoch 30 (20)"]
    assert figure.data[1].marker.symbol == ("circle", "circle-open")


def test_every_way_to_end_has_a_label_and_a_colour():
    ways = {"unfinished", "complete", "failed"} | set(StopReason) - {StopReason.STALLED}
    assert set(OUTCOMES) == ways  # a trial that hangs counts as failed


def test_what_was_left_out_of_the_images_stands_on_the_page(tmp_path: Path):
    directory = six(tmp_path / "six")
    assert "hidden files" not in page(directory)
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    manifest["dataset"]["remarks"] = ["left out: 3 hidden files (<b>.git)", "equal images: 1 group"]
    manifest.pop("sha256", None)
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "left out: 3 hidden files (&lt;b&gt;.git); equal images: 1 group" in page(directory)


def test_a_card_tells_what_going_on_would_gain(run: Run) -> None:
    gain = {"ended": 12, "unit": "GPU-hour", "ten": 0.004, "ten_upper": 0.012}
    assert not [label for label in cards(run) if label.startswith("expected")]
    first = {**run.trials, 0: replace(run.trials[0], gain=gain)}
    assert cards(replace(run, trials=first))["expected of ten more trials"] == (
        "0.40 points",
        "of val_top1; with 90 % probability at most 1.20, after 12 trials",
    )
    later = {
        **first,
        1: replace(run.trials[1], gain=gain | {"ended": 13, "hour": 0.0006, "hour_upper": 0.0019}),
    }
    options = {"options": run.manifest.get("options", {}) | {"min_gain": 0.002, "trials": 99}}
    number, note = cards(replace(run, trials=later, manifest={**run.manifest, **options}))[
        "expected of another GPU-hour"
    ]
    assert number == "0.06 points"
    assert note.endswith("the search ended because another GPU-hour would gain at most 0.19 points "
                         "of val_top1 (90 %), less than --min-gain 0.002")  # fmt: skip
