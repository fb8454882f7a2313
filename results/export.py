"""Writes the best configuration of a run to a YAML file that final training reads.

If finalists were trained, their comparison selects the configuration; otherwise the trials'
val_top1 after their latest epochs does (`results.analysis.ranking`).

python -m results.export runs/NAME [--trial N] [--to FILE]
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from common.cli import Parser, quote_command, refuse
from common.errors import UserError
from common.files import checksum, write_text_atomically
from common.ownership import sign
from results.analysis.expected_gain import gain_of_run
from results.analysis.finalist_comparison import BASELINE, Outcome, Standing, compare_finalists
from results.analysis.intervals import CONFIDENCE, Interval
from results.analysis.pareto import objectives_of, pareto_front, values
from results.analysis.ranking import REASON, RULE, baseline_of, choose_winner, rank_trials
from results.analysis.run_records import is_own_run, read_run_records
from results.records import (
    BEST_VERSION,
    FinalistRecord,
    StopReason,
    TrialRecord,
    TrialState,
    move_weights,
)
from results.run_hints import resume_command
from results.store import BEST, MAC, SEAL, RunError, read_manifest

CLASS_IDS = "dataset_class_ids"
"""At the end of `best.yaml`, this key lists the ids of the classes in the order of their labels."""

DIGITS = 6
"""Means and intervals in `best.yaml` are rounded to this many decimal places."""


def best_config(directory: Path, trial: int | None = None) -> dict[str, Any]:
    """Returns the content of `best.yaml`: the configuration, its metric, how it was selected, the
    baseline, and the provenance.

    trial: the number of the trial to export instead of the best one.

    Raises `RunError` when the run has no best trial, or when the trial number `trial` has diverged
    or has no finished epoch.
    """
    records = read_run_records(directory)
    finalists = records.finalists.values()
    return describe_best(directory, records.manifest, records.standings(), finalists, trial)


def describe_best(
    directory: Path,
    manifest: dict[str, Any],
    trials: Mapping[int, TrialRecord],
    finalists: Iterable[FinalistRecord],
    trial: int | None = None,
) -> dict[str, Any]:
    """Returns what `best_config` does for a run whose manifest and records have been read."""
    if trial is not None:
        return _chosen(manifest, trials, _named(directory, trials, trial), f"--trial {trial}")
    objectives = objectives_of(manifest)
    outcome = compare_finalists(finalists)
    winner = choose_winner(trials, objectives, outcome)
    if winner is None:
        raise RunError(_no_best(directory, trials))
    if outcome is not None and outcome.winner is not None:
        chosen = _chosen(manifest, trials, winner, _finalists_rule(outcome))
        return chosen | _by_finalists(outcome, outcome.winner, chosen)
    rule = RULE
    if front := pareto_front(trials, objectives) if len(objectives) > 1 else []:
        rule += f", of the {len(front)} on the Pareto front of {', '.join(objectives)}"
    return _chosen(manifest, trials, winner, rule) | {"reason": REASON}


def _named(directory: Path, trials: Mapping[int, TrialRecord], trial: int) -> TrialRecord:
    """Returns the trial with this number. Raises `RunError` where it can't be exported."""
    usable = [t for t in rank_trials(trials.values()) if t.reason is not StopReason.DIVERGED]
    for record in usable:
        if record.number == trial:
            return record
    if not usable:
        raise RunError(_no_best(directory, trials))
    diverged = trial in trials and trials[trial].reason is StopReason.DIVERGED
    found = f"{trial}, which has diverged" if diverged else str(trial)
    raise RunError(
        "--trial must name a trial that has at least one epoch and hasn't diverged, but got "
        f"{found}; {directory} has {_numbers(usable)}."
    )


def _no_best(directory: Path, trials: Mapping[int, TrialRecord]) -> str:
    """Returns a sentence on why a run has no best trial, and what to do."""
    resume = resume_command(directory)
    if any(t.state is TrialState.RUNNING for t in trials.values()) or not trials:
        return (
            f"{directory} has no trial with a finished epoch yet; let it run longer, or go on with "
            f"it by `{resume}`."
        )
    return (
        f"{directory} has no best trial, because all of its {len(trials)} trials failed or "
        f"diverged; its page (`{quote_command('python -m results.report', directory)}`) says why."
    )


def _chosen(
    manifest: dict[str, Any], trials: Mapping[int, TrialRecord], winner: TrialRecord, rule: str
) -> dict[str, Any]:
    objectives = objectives_of(manifest)
    several = {"objectives": _objectives(winner, objectives)} if len(objectives) > 1 else {}
    return {
        "schema_version": BEST_VERSION,
        # A copy, because YAML would write an alias where the baseline holds the same object.
        "config": move_weights(winner.config, manifest.get("searched", {}).get("weights")),
        "dataset": manifest["dataset"]["name"],
        "dataset_fingerprint": manifest["dataset"]["fingerprint"],
        # Manifests of older versions don't record the image size.
        "dataset_image_size": manifest["dataset"].get("image_size"),
        **({"dataset_val": val} if (val := manifest["dataset"].get("chosen_val")) else {}),
        "metric": "val_top1",
        "value": winner.last_val_top1,
        "epoch": winner.epochs,
        "trial": winner.number,
        **several,
        "selected_by": rule,
        "trials_considered": len(rank_trials(trials.values())),
        **({"ended_by": why} if (why := gain_of_run(manifest, trials.values())[1]) else {}),
        "baseline": _baseline(trials.get(baseline_of(manifest, winner.number)), manifest),
        "provenance": manifest.get("provenance", {}) | {"run": manifest["name"]},
        # Manifests of older versions don't record the classes.
        **({CLASS_IDS: ids} if (ids := manifest["dataset"].get("class_ids")) else {}),
    }


def _finalists_rule(outcome: Outcome) -> str:
    return (
        f"highest mean val_top1 of the last epoch over {len(outcome.seeds)} repeats with fresh "
        f"seeds, among {len(outcome.standings)} finalists"
    )


def _by_finalists(outcome: Outcome, winner: Standing, chosen: dict[str, Any]) -> dict[str, Any]:
    """Returns the entries of `best.yaml` that differ where finalists decide: all values are means
    over the last epochs of the repeats, also the baseline's.
    """
    own = {standing.trial: standing for standing in outcome.standings}
    baseline = chosen["baseline"]
    if baseline is not None:
        among = own[BASELINE].top1 if BASELINE in own else None
        mean = round(among.mean, DIGITS) if among else None
        config = baseline["config"] | {"epochs": outcome.epochs}
        epoch = outcome.epochs if among else None
        baseline = baseline | {"value": mean, "epoch": epoch, "config": config}
    return {
        "config": chosen["config"] | {"epochs": outcome.epochs},
        "value": _rounded(winner.top1)["mean"],
        "epoch": outcome.epochs,
        "beats_baseline": outcome.beats_baseline,
        "confidence": CONFIDENCE,
        "seeds": list(outcome.seeds),
        "finalists": [
            {
                "trial": standing.trial,
                "val_top1": list(standing.values),
                **_rounded(standing.top1),
                "lead": _rounded(standing.lead),
            }
            for standing in outcome.standings
        ],
        "baseline": baseline,
    }


def _rounded(interval: Interval | None) -> dict[str, float]:
    """Returns the mean and both ends of an interval, rounded to `DIGITS` places; the mapping is
    empty where there is no interval.
    """
    found = asdict(interval) if interval else {}
    return {name: round(value, DIGITS) for name, value in found.items()}


def export(directory: Path, trial: int | None = None, to: Path | None = None) -> Path:
    """Writes the best configuration as YAML and returns the path of the file. The file is signed if
    this user has written the run, and the run's own weights are in it.

    trial: the number of the trial to export instead of the best one.
    to: the file to write (default: `best.yaml` in the run, or `trial-N.yaml` for a given trial).

    Raises what `best_config` raises, and `OSError` when the file can't be written.
    """
    path = to or directory / (BEST if trial is None else f"trial-{trial}.yaml")
    value = best_config(directory, trial)
    searched = read_manifest(directory).get("searched", {})
    usual = value["config"].get("weights", "none") in ("none", "imagenet", searched.get("weights"))
    if usual and is_own_run(directory) and (mac := sign(BEST, value)):
        value = {"schema_version": BEST_VERSION, MAC: mac, **value}
    value = {SEAL: checksum(value), **value}  # at its head, as what is cut off is the end
    ids = {name: value.pop(name) for name in (CLASS_IDS,) if name in value}
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    if ids:  # in a few long lines, where a list would have one for each class
        text += yaml.safe_dump(ids, default_flow_style=None, allow_unicode=True, width=100)
    write_text_atomically(path, text)
    return path


def _objectives(record: TrialRecord, objectives: Sequence[str]) -> dict[str, float] | None:
    """Returns a trial's objectives by name, or `None` for a trial that lacks one of them."""
    found = values(record, objectives)
    return None if found is None else dict(zip(objectives, found, strict=True))


def _baseline(record: TrialRecord | None, manifest: dict[str, Any]) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "trial": record.number,
        "state": record.state.value,
        "value": record.last_val_top1,
        "epoch": record.epochs or None,
        "published": manifest.get("published"),
        "config": record.config,
    }


def _numbers(trials: list[TrialRecord]) -> str:
    return ", ".join(str(t.number) for t in sorted(trials, key=lambda t: t.number))


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.export`."""
    made = Parser(prog="python -m results.export", description=__doc__)
    made.add_argument("run", type=Path, help="a run directory, e.g. runs/NAME")
    made.add_argument("--trial", type=int, help="this trial's configuration, not the best one's")
    made.add_argument("--to", type=Path, help="the file to write (default: inside the run)")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 after an error.
    """
    options = parser().parse_args(arguments)
    try:
        path = export(options.run, options.trial, options.to)
        data = read_manifest(options.run).get("options", {}).get("data", "data")
    except (UserError, OSError) as error:
        return refuse(error)
    command = quote_command("python -m trainables.final", "--config", path, data=data)
    print(f"{path}\nTrain it to the end: {command}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
