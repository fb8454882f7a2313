"""Ray's `Searcher`, over the study. It proposes only: deciding is the scheduler's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from search.study import Proposal, Study
from trainables.config import TrialConfig


class StudySearcher(Searcher):
    """Hands Ray the study's proposals, until there are none."""

    def __init__(
        self, study: Study[TrialConfig], task: Callable[[Proposal[TrialConfig]], dict[str, Any]]
    ) -> None:
        super().__init__(metric="val_top1", mode="max")
        self._study, self._task = study, task

    # Ray's own searchers return the text FINISHED too; its annotation leaves it out.
    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]
        """The next trial's config for the worker, or `FINISHED`."""
        proposal = self._study.ask()
        return self.FINISHED if proposal is None else self._task(proposal)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the scheduler has told the study already, with the reason."""

    def save(self, checkpoint_path: str) -> None:
        """An empty file for Ray: the study's state is in the run directory."""
        Path(checkpoint_path).touch()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a run is resumed from its own records, not from Ray's."""
        raise RuntimeError("a search is resumed with --resume, not with Tuner.restore")
