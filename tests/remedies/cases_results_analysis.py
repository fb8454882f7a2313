"""Errors about runs without a result, about journals, and about final trainings."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from results.analysis.rung_values import JOURNAL
from results.records import StopReason, TrialState
from results.store import RunStore, read_manifest
from search.planning.plan import Plan
from tests.remedies.cases_results import edit, export
from tests.remedies.harness import Command, Refusal, Steps, case
from tests.remedies.searches import copy_run, open_again
from tests.results.example_final import NAMES, make_final, make_predictions
from tests.results.example_run import Made, make_run
from tests.results.example_search import ADAMW, RANGES
from tests.results.example_search import MANIFEST as ABOUT
from tests.search.session_on_curves import opened, planned, play

EXPORT = "results/export.py"
FINAL, RUNG = "results/analysis/final_run.py", "results/analysis/rung_values.py"
PREDICTIONS, PAGE = "results/predictions.py::read_predictions", "results/page/run_data.py"


def begin(tmp_path: Path, data: Path, trials: int = 0) -> tuple[Path, Callable[[], None]]:
    """Returns a run with as many trials, none of which has an epoch, and what trains all."""

    def plan() -> Plan:
        return planned(tmp_path, data, {"out": str(tmp_path)}, name="run", trials=3)

    session = opened(plan())
    for _ in range(trials):
        session.study.ask()
    session.close()

    def train() -> None:
        again = opened(plan())
        play(again.study)
        again.close()

    return tmp_path / "run", train


@case(f"{EXPORT}::describe_best", "_no_best", f"{EXPORT}::_no_best", "let it run longer")
def an_export_before_the_first_epoch(tmp_path: Path, tiny_data: Path) -> Steps:
    run, train = begin(tmp_path, tiny_data, trials=1)
    refusal = yield export(run)
    refusal.command().add("--dry-run")()
    train()


FAILED = [
    Made(params=ADAMW, values=[], state=TrialState.FAILED, detail="no CUDA"),
    Made(params=ADAMW | {"lr": 1e-2}, values=[0.6], state=TrialState.STOPPED,
         reason=StopReason.DIVERGED),
]  # fmt: skip


def make_failed(directory: Path) -> Path:
    """Makes a run in which no trial has succeeded."""
    return make_run(directory, RANGES, FAILED, epochs=4, manifest=ABOUT)


@case(f"{EXPORT}::describe_best", "_no_best", f"{EXPORT}::_no_best", "says why",
      beyond="what the page shows decides what is to be mended")  # fmt: skip
def an_export_of_a_run_that_failed(tmp_path: Path) -> Steps:
    refusal = yield export(make_failed(tmp_path / "run"))
    refusal.command()()
    assert "no CUDA" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@case(f"{EXPORT}::_named", "_no_best", f"{EXPORT}::_no_best", "says why",
      beyond="what the page shows decides what is to be mended")  # fmt: skip
def an_export_of_a_trial_that_failed(tmp_path: Path) -> Steps:
    refusal = yield export(make_failed(tmp_path / "run"), "--trial", 0)
    refusal.command()()


@case(f"{EXPORT}::_named", "hasn't diverged")
def an_export_of_a_trial_that_diverged(tmp_path: Path) -> Steps:
    good = Made(params=ADAMW | {"lr": 1e-4}, values=[0.2, 0.3])
    run = make_run(tmp_path / "run", RANGES, [*FAILED, good], epochs=4, manifest=ABOUT)
    command = export(run, "--trial", 1)
    refusal = yield command
    return command.replace(1, refusal.find(rf"{run} has (\d+)\."))


@case("results/importance.py::importances", "has no trial yet")
def importances_before_the_first_trial(tmp_path: Path, tiny_data: Path) -> Steps:
    run, train = begin(tmp_path, tiny_data)
    refusal = yield Command("results.importance", run)
    refusal.command().add("--dry-run")()
    train()


@case(f"{PAGE}::read_run", "has no trial yet")
def a_report_before_the_first_trial(tmp_path: Path, tiny_data: Path) -> Steps:
    run, train = begin(tmp_path, tiny_data)
    refusal = yield Command("results.report", run)
    refusal.command().add("--dry-run")()
    train()


@case(f"{PAGE}::require_best", "leave it out")
def a_comparison_with_a_run_that_failed(tmp_path: Path) -> Steps:
    good = make_run(tmp_path / "good", RANGES, [Made(params=ADAMW, values=[0.2])], 4, ABOUT)
    command = Command("results.compare", good, make_run(tmp_path / "other", RANGES,
                      [Made(params=ADAMW, values=[0.3])], 4, ABOUT))  # fmt: skip
    refusal = yield command.add(make_failed(tmp_path / "failed"))
    refusal.command()()
    return command


ANEW = (f"{RUNG}::damage_error", "which makes it anew from the records")


def go_on(refusal: Refusal, run: Path, data: Path) -> None:
    """Does what the command of a sentence does, as far as to the first trial."""
    assert refusal.command().words == ("--resume", run.name, "--out", str(run.parent))
    open_again(run, data)()


@case(f"{RUNG}::read_proposals", "damage_error", *ANEW)
def a_damaged_journal(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    edit(run / JOURNAL, lambda lines: lines.insert(1, "?\n"))
    refusal = yield Command("results.importance", run)
    go_on(refusal, run, tiny_data)


@case(f"{RUNG}::read_proposals", "must be there, for it holds the parameters' ranges")
def a_journal_that_was_not_copied(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    (run / JOURNAL).unlink()
    refusal = yield Command("results.importance", run)
    go_on(refusal, run, tiny_data)


@case(f"{RUNG}::read_fitting_proposals", "its last line can't be read", *ANEW)
def a_journal_with_an_empty_line(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    edit(run / JOURNAL, lambda lines: lines.append("\n"))
    refusal = yield Command("results.importance", run)
    go_on(refusal, run, tiny_data)


@case(f"{RUNG}::read_fitting_proposals", "it isn't as it was written", *ANEW)
def a_journal_with_a_changed_value(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    text = (run / JOURNAL).read_text(encoding="utf-8")
    at = text.index('"datetime_start":"') + 18
    (run / JOURNAL).write_text(text[:at] + "1" + text[at + 1 :], encoding="utf-8")
    words = ("--policy", "random", "--budget", 1, "--seeds", 1, "--grace", 1)
    refusal = yield Command("search.simulate", run, *words)
    go_on(refusal, run, tiny_data)


def unsealed(searched: Path, tmp_path: Path) -> Path:
    """Returns a copy of a run whose session was killed, so that no seal guards its journal."""
    run = copy_run(searched, tmp_path)
    manifest = read_manifest(run)
    del manifest["journal"]
    store = RunStore(run)
    store.write_manifest(manifest)
    store.close()
    return run


@case(f"{RUNG}::read_fitting_proposals", "it has no trial", *ANEW)
def a_journal_that_is_cut_short(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = unsealed(searched, tmp_path)

    def cut(lines: list[str]) -> None:
        begun = [at for at, line in enumerate(lines) if line.startswith('{"op_code":4,')]
        del lines[begun[-1] :]

    edit(run / JOURNAL, cut)
    refusal = yield Command("results.importance", run)
    go_on(refusal, run, tiny_data)


@case(f"{RUNG}::read_fitting_proposals", "has other parameters than", *ANEW)
def a_journal_without_a_parameter(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = unsealed(searched, tmp_path)

    def change(lines: list[str]) -> None:
        lines.remove(next(line for line in lines if '"param_name":"lr"' in line))

    edit(run / JOURNAL, change)
    refusal = yield Command("results.importance", run)
    go_on(refusal, run, tiny_data)


@case(f"{RUNG}::read_fitting_proposals", "isn't as in", *ANEW)
def a_journal_with_another_parameter(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = unsealed(searched, tmp_path)

    def change(lines: list[str]) -> None:
        at = max(n for n, line in enumerate(lines) if '"param_name":"lr"' in line)
        event = json.loads(lines[at])
        event["param_value_internal"] *= 1.01
        lines[at] = json.dumps(event, separators=(",", ":")) + "\n"

    edit(run / JOURNAL, change)
    refusal = yield Command("results.importance", run)
    go_on(refusal, run, tiny_data)


def final(folder: Path) -> Command:
    return Command("results.final", folder)


def made_final(folder: Path) -> Path:
    return make_final(folder, make_predictions([0, 1, 2], [0, 1, 1], [0.9, 0.8, 0.7]), NAMES)


@case(f"{FINAL}::read_record", "give the folder that trainables.final")
def a_run_in_place_of_its_final_training(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    made_final(run / "final")
    refusal = yield final(run)
    return final(run / refusal.find(r"as runs/NAME/(\w+)\."))


@case(f"{FINAL}::read_record", "restore it from a copy")
def a_damaged_record_of_a_final_training(tmp_path: Path) -> Steps:
    folder = made_final(tmp_path / "final")
    text = (folder / "final.json").read_text(encoding="utf-8")
    (folder / "final.json").write_text(text[:-20], encoding="utf-8")
    yield final(folder)
    (folder / "final.json").write_text(text, encoding="utf-8")


@case(PREDICTIONS, "restore it from a copy")
def damaged_predictions(tmp_path: Path) -> Steps:
    folder = made_final(tmp_path / "final")
    path = folder / "predictions.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    yield final(folder)
    path.write_bytes(whole)


def train_again(trained: Path, data: Path, advice: str) -> None:
    """Trains as a sentence advises, with the words of the first training in place of `…`."""
    words = ("--config", trained.parent / "best.yaml", "--data", data.parent, "--threads", 1)
    module, _, option = advice.split()
    Command(module, *words, option)()


TRAIN_AGAIN = r"train again with python -m (trainables\.final … --overwrite)\."


@case(PREDICTIONS, "must be there")
def predictions_that_are_missing(
    tmp_path: Path, trained: Path, tiny_data: Path, no_training: None
) -> Steps:
    folder = Path(shutil.copytree(trained.parent, tmp_path / "trained")) / "final"
    (folder / "predictions.npz").unlink()
    refusal = yield final(folder)
    train_again(folder, tiny_data, refusal.find(TRAIN_AGAIN))


@case(f"{FINAL}::read_final_run", "classes of its predictions")
def a_final_training_without_names(
    tmp_path: Path, trained: Path, tiny_data: Path, no_training: None
) -> Steps:
    folder = Path(shutil.copytree(trained.parent, tmp_path / "trained")) / "final"
    record = json.loads((folder / "final.json").read_text(encoding="utf-8"))
    record["provenance"]["class_names"].pop()
    (folder / "final.json").write_text(json.dumps(record), encoding="utf-8")
    refusal = yield final(folder)
    train_again(folder, tiny_data, refusal.find(TRAIN_AGAIN))
