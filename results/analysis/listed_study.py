"""Makes Optuna studies of trials that exist already, for Optuna's analyses and figures."""

from collections.abc import Container, Sequence

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class _ListedTrials(InMemoryStorage):
    """Holds trials as they are. `Study.add_trials` copies each one deeply, which takes longer than
    all else where hundreds of resampled studies have thousands of trials.
    """

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._listed = [
            FrozenTrial(
                number=number,
                trial_id=number,
                state=trial.state,
                value=None,
                values=trial.values,
                datetime_start=trial.datetime_start,
                datetime_complete=trial.datetime_complete,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={},
                system_attrs={},
                intermediate_values={},
            )
            for number, trial in enumerate(trials)
        ]

    def get_all_trials(
        self,
        study_id: int,  # noqa: ARG002  # there is one study
        deepcopy: bool = True,  # noqa: ARG002  # Optuna's signature
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Returns the trials in these states, uncopied."""
        return [trial for trial in self._listed if states is None or trial.state in states]


def study_of(trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Returns a new Optuna study that maximises and contains `trials`, renumbered in their
    order.
    """
    return optuna.create_study(direction="maximize", storage=_ListedTrials(trials))
