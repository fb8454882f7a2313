"""Writes the best configuration of a run to a YAML file that final training reads.

If finalists were trained, their comparison selects the configuration; otherwise the trials' highest
val_top1 does.

python -m results.export runs/NAME [--trial N] [--to FILE]
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from common.cli import Parser, quote_command, refuse
from common.errors import UserError
from common.files import checksum, write_text_atomically
from results.analysis.finalist_comparison import BASELINE, Outcome, Standing, compare_finalists
from results.analysis.intervals import CONFIDENCE, Interval
from results.analysis.pareto import objectives_of, pareto_front, values
from results.finalist_store import read_finalists
from results.records import BEST_VERSION, TrialRecord
from results.run_hints import resume_command
from results.store import BEST, SEAL, RunError, read_manifest, read_standings

RULE = "highest val_top1 of any epoch of any trial that neither failed nor diverged"
"""Without finalists, `best.yaml` states this sentence as the rule by which its trial was
selected.
"""

DIGITS = 6
"""Means and intervals in `best.yaml` are rounded to this many decimal places."""


def ranked(trials: Mapping[int, TrialRecord]) -> list[TrialRecord]:
    """Returns the trials with a result, best first: by the highest val_top1 of any epoch, and for
    equal values by number.

    Failed and diverged trials rank behind all others, whatever accuracy they reached before.
    """
    scored = [t for t in trials.values() if t.best_val_top1 is not None]
    return sorted(scored, key=lambda t: (not t.trusted, -(t.best_val_top1 or 0), t.number))


def best_config(directory: Path, trial: int | None = None) -> dict[str, Any]:
    """Returns the content of `best.yaml`: the configuration, its metric, how it was selected, the
    baseline, and the provenance.

    With several objectives, the selected trial is the one on their Pareto front that has the
    highest val_top1.

    trial: the number of the trial to export instead of the best one.

    Raises `RunError` when the run has no trial with a result, or none with the number `trial`.
    """
    manifest, trials = read_manifest(directory), read_standings(directory)
    objectives = objectives_of(manifest)
    front = pareto_front(trials, objectives) if len(objectives) > 1 else []
    order = front or ranked(trials)
    if trial is not None:
        order = [t for t in ranked(trials) if t.number == trial]
        if not order:
            raise RunError(
                f"--trial must name a trial with at least one epoch, but got {trial}; "
                f"{directory} has {_numbers(ranked(trials))}."
            )
    if not order:
        raise RunError(
            f"{directory} has no trial with a finished epoch yet; let it run longer, or go on with "
            f"it by `{resume_command(directory)}`."
        )
    rule = RULE if trial is None else f"--trial {trial}"
    if front and trial is None:
        rule += f", of the {len(front)} on the Pareto front of {', '.join(objectives)}"
    outcome = compare_finalists(read_finalists(directory).values()) if trial is None else None
    if outcome is not None and outcome.winner is not None:
        winner = trials[outcome.winner.trial]
        chosen = _chosen(manifest, trials, winner, _finalists_rule(outcome))
        return chosen | _by_finalists(outcome, outcome.winner, chosen)
    return _chosen(manifest, trials, order[0], rule)


def _chosen(
    manifest: dict[str, Any], trials: Mapping[int, TrialRecord], winner: TrialRecord, rule: str
) -> dict[str, Any]:
    objectives = objectives_of(manifest)
    several = {"objectives": _objectives(winner, objectives)} if len(objectives) > 1 else {}
    return {
        "schema_version": BEST_VERSION,
        # A copy, because YAML would write an alias where the baseline holds the same object.
        "config": dict(winner.config),
        "dataset": manifest["dataset"]["name"],
        "dataset_fingerprint": manifest["dataset"]["fingerprint"],
        # Manifests of older versions don't record the image size.
        "dataset_image_size": manifest["dataset"].get("image_size"),
        "metric": "val_top1",
        "value": winner.best_val_top1,
        "epoch": winner.best_epoch,
        "trial": winner.number,
        **several,
        "selected_by": rule,
        "trials_considered": len(ranked(trials)),
        "baseline": _baseline(trials.get(baseline_of(manifest, winner.number)), manifest),
        "provenance": manifest.get("provenance", {}) | {"run": manifest["name"]},
    }


def baseline_of(manifest: Mapping[str, Any], trial: int) -> int:
    """Returns the number of the baseline that was planned with as many epochs as `trial`.

    Each horizon of a run, which is a number of epochs per trial, begins with a baseline of its own.
    Manifests of older versions don't list horizons, because their runs have one.
    """
    horizons = manifest.get("horizons", [{"first": 0}])
    return max(int(each["first"]) for each in horizons if each["first"] <= trial)


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
    """Writes the best configuration as YAML and returns the path of the file.

    trial: the number of the trial to export instead of the best one.
    to: the file to write (default: `best.yaml` in the run, or `trial-N.yaml` for a given trial).

    Raises what `best_config` raises, and `OSError` when the file can't be written.
    """
    path = to or directory / (BEST if trial is None else f"trial-{trial}.yaml")
    value = best_config(directory, trial)
    value = {SEAL: checksum(value), **value}  # at its head, as what is cut off is the end
    write_text_atomically(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
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
        "value": record.best_val_top1,
        "epoch": record.best_epoch,
        "published": manifest.get("published"),
        "config": record.config,
    }


def _numbers(trials: list[TrialRecord]) -> str:
    return ", ".join(str(t.number) for t in sorted(trials, key=lambda t: t.number)) or "none"


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
