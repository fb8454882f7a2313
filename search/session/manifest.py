"""Makes the manifest of a run, and the files beside it that a run begins with."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets.manifest import read_manifest
from datasets.prepare import remarks
from datasets.splits import SearchData
from results.analysis.run_records import RunRecords
from results.records import TrialRecord
from search.hardware.calibration import Measurement
from search.planning.cost_estimate import training_speed
from search.planning.plan import Plan, make_proposer
from search.planning.same_space import COPY, SearchedSpace, find_present, place_files
from search.planning.screening import ScreeningPlan, plan_screening
from search.planning.warm_start import manifest_entry, useful_trials
from search.session import session_log
from search.session.provenance import command_line, provenance
from search.study.optuna_journal import (
    ExpressedTrial,
    find_difference,
    open_journal,
    rebuild_journal,
    renew_study,
)
from search.study.prior_trials import write_prior_trials


def make_manifest(
    plan: Plan,
    data: SearchData,
    precision: str,
    saved: dict[str, Any] | None,
    measurement: Measurement | None,
) -> dict[str, Any]:
    """Returns the manifest of a session that begins now, of a new run or of the one whose manifest
    is `saved`. `measurement` is the speed that this machine has shown, if it has.
    """
    nodes = plan.cluster.nodes if plan.cluster else ()
    circumstances = provenance(plan.machine, command_line(), nodes, plan.gpu)
    preview = [config.to_dict() for config in plan.preview]
    images = read_manifest(plan.data)
    manifest = saved or {
        "name": plan.name,
        "space": plan.options.space,
        "precision": precision,
        "published": asdict(plan.space.published) if plan.space.published else None,
        "preview": preview,
        "provenance": circumstances,
        "warm_start": [manifest_entry(run) for run in plan.earlier],
        "screening": _plan_screening(plan, data, measurement),
        "sessions": [],
    }
    renewed = {"preview": preview} if plan.searched.renewed else {}
    return (
        manifest
        | renewed
        | {
            "options": asdict(plan.options),
            "horizons": [asdict(each) for each in plan.horizons],
            "searched": plan.searched.to_json(),
            "dataset": {
                "name": plan.dataset,
                "fingerprint": data.images.fingerprint,
                "image_size": data.images.size,
                "class_ids": list(data.images.class_ids),
                "val_images": len(data.val),
                "chosen_val": images.chosen_val,
                "remarks": remarks(images, plan.data),
            },
            "sessions": session_log.add_session(
                manifest["sessions"], plan.directory, circumstances
            ),
        }
    )


def _plan_screening(
    plan: Plan, data: SearchData, measurement: Measurement | None
) -> dict[str, Any] | str | None:
    speed = training_speed(plan, len(data.train), measurement)
    found = plan_screening(plan, len(data.train), len(data.images.class_ids), speed)
    return asdict(found) if isinstance(found, ScreeningPlan) else found


def read_screening(manifest: Mapping[str, Any]) -> ScreeningPlan | str | None:
    """Returns what precedes the trials by a run's manifest, or why nothing does, or `None` where
    nothing was asked for.
    """
    planned = manifest.get("screening")
    return ScreeningPlan.from_json(planned) if isinstance(planned, Mapping) else planned


def copy_space(searched: SearchedSpace, directory: Path, session: int) -> None:
    """Copies the space's files into the run in `directory`, where they aren't there yet as they
    are. The folder `COPY` holds the files that the run began with, and a folder in it, named after
    the number of the session, what has changed since.
    """
    place = directory / COPY
    if place.exists() and not searched.changed:
        return
    if place.exists():
        place = place / f"session-{session}"
    for path, name in place_files(searched.files).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / name)


def prepare_journal(
    plan: Plan, run: RunRecords, manifest: dict[str, Any], warn: Callable[[str], object]
) -> None:
    """Has the run's Optuna study follow its records. A journal that doesn't is made anew, of which
    `warn` is called with a note, and after the space has changed there is a new study. The seal of
    a journal that was replaced is taken out of `manifest`.
    """
    proposer = make_proposer(plan, manifest["precision"])

    def express(record: TrialRecord) -> ExpressedTrial | None:
        if plan.searched.renewed or record.number < plan.searched.since:
            return find_present(record, proposer)
        ranges = proposer.repeat(record.params).distributions
        params = {name: value for name, value in record.params.items() if name in ranges}
        return ExpressedTrial(params, {name: ranges[name] for name in params})

    if why := find_difference(run, plan.objectives):
        rebuild_journal(run, plan.objectives, express)
        manifest.pop("journal", None)
        warn(
            f"note: the Optuna journal didn't follow the run's records ({why}), and was made anew "
            "from them."
        )
    elif plan.searched.renewed:
        found = {n: find_present(record, proposer) for n, record in run.trials.items()}
        inside = {number: trial for number, trial in found.items() if trial is not None}
        renew_study(open_journal(run.directory), inside)


def copy_earlier(plan: Plan, data: SearchData) -> None:
    """Writes what the sampler can learn from earlier runs into the run's own folder."""
    ours = (make_proposer(plan), data.images.fingerprint, plan.epochs)
    found = [trial for run in plan.earlier for trial in useful_trials(run, *ours)]
    if plan.earlier:
        write_prior_trials(plan.directory, found)
