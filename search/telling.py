"""What Optuna is told of a trial that has ended, and what it knows of those that haven't."""

from collections.abc import Collection, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from results.analysis.pareto import values
from results.records import StopReason, TrialRecord
from results.records import TrialState as Ended
from search.infeasible import tell_infeasible
from search.study.objectives import tell_missing


def tell(
    study: optuna.Study,
    trial: optuna.Trial,
    record: TrialRecord,
    objectives: Sequence[str],
    epochs: int,
) -> None:
    """Ends a trial whose full training takes `epochs`: PRUNED, not COMPLETE, for what was stopped.

    With several objectives a trial for which memory was wanting lacks all of its epochs, and so
    is behind every one that was stopped.
    """
    several = len(objectives) > 1
    if record.state is Ended.COMPLETE:
        study.tell(trial, values(record, objectives))
    elif record.state is Ended.STOPPED and record.trusted:
        if several:
            tell_missing(trial, epochs - record.epochs)
        study.tell(trial, state=TrialState.PRUNED)
    elif record.reason is StopReason.MEMORY:
        if several:
            tell_missing(trial, epochs)
        tell_infeasible(study, trial)
    else:
        study.tell(trial, state=TrialState.FAIL)


def untold(
    study: optuna.Study, known: Sequence[FrozenTrial], recorded: Collection[int]
) -> tuple[dict[int, optuna.Trial], dict[int, set[int]], list[FrozenTrial]]:
    """What of the `known` trials Optuna has heard no end of, in a search that goes on.

    (those recorded, by number; the epochs reported of each; those that aren't recorded, because
    the search was killed between asking for them and recording them).
    """
    running = [trial for trial in known if trial.state is TrialState.RUNNING]
    mine = [trial for trial in running if trial.number in recorded]
    asked = {trial.number: optuna.Trial(study, trial._trial_id) for trial in mine}
    reported = {trial.number: set(trial.intermediate_values) for trial in mine}
    return asked, reported, [trial for trial in running if trial.number not in recorded]
