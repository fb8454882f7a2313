"""Studies and whole sittings of a search that are played on made curves, without training."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from datasets.access import open_search_data
from results.analysis.run_records import read_run_records
from results.records import EpochMetrics, NetworkCosts
from results.store import read_manifest
from search.config.command_line import resolve
from search.planning.plan import Plan, make_plan
from search.session import execute
from search.session.session import Session
from search.study.study import Study
from tests.search.study_on_curves import curve
from trainables.config import TrialConfig


def play(
    study: Study[TrialConfig],
    until_epochs: float = math.inf,
    *,
    curve: Callable[[TrialConfig], list[EpochMetrics]] = curve,
    costs: Callable[[TrialConfig], NetworkCosts] | None = None,
) -> None:
    """One worker: trains proposals on their made curves, to the end or for some epochs.

    costs: what networks cost, in studies that ask for it.
    """
    done = 0
    while (proposal := study.ask()) is not None:
        if costs and study.unmeasured(proposal.number):
            study.measured(proposal.number, costs(proposal.config))
        for epoch in curve(proposal.config)[proposal.epochs_done :]:
            if done >= until_epochs:
                return
            done += 1
            if study.report(proposal.number, epoch):
                break


def planned(out: Path, data: Path, changes: Mapping[str, Any], *, name: str, trials: int) -> Plan:
    """A plan of the demo space's search `name`: of a new one, or of one in `out` that goes on."""
    resuming = (out / name).exists()
    saved = read_manifest(out / name)["options"] if resuming else {
        "space": "demo", "dataset": "tiny-imagenet", "data": str(data.parent), "out": str(out),
        "name": name, "trials": trials, "epochs": 9, "grace": 1, "precision": "float32",
        "set": ["batch_size=16", "image_size=32"],
    }  # fmt: skip
    options, errors = resolve(saved, changes)
    plan, more = make_plan(options, resuming=resuming)
    assert plan is not None, errors + more
    return plan


def opened(plan: Plan) -> Session:
    """A sitting of the plan's search, begun or gone on with."""
    saved = read_manifest(plan.directory) if (plan.directory / "manifest.json").exists() else None
    return execute.open_session(plan, open_search_data(plan.data), "float32", saved)


def search(plan: Plan, epochs: float = math.inf) -> Study[TrialConfig]:
    """A sitting of a search, each trial as long as its configuration says; with `epochs`, one
    that is killed after so many.
    """
    session = opened(plan)
    play(session.study, epochs, curve=lambda config: curve(config, config.epochs))
    session.close()
    return session.study


def outcome(run: Path) -> Any:
    """What a search has decided, by its records, without the order of recording."""
    records = read_run_records(run)
    return (
        records.trials,
        sorted(records.recorded, key=lambda each: (each[0], each[1].epoch)),
        records.finalists,
        sorted(records.finalist_epochs, key=lambda each: (str(each[0]), each[1].epoch)),
    )
