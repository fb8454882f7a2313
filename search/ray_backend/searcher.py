"""Ray's `Searcher`, over the study. It proposes only: deciding is the scheduler's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from search.hardware.allocation import Resources
from search.ray_backend.slots import Slots
from search.study.finalists import Finalists
from search.study.proposal import Proposal
from search.study.study import Study
from trainables.config import TrialConfig


class StudySearcher(Searcher):
    """Hands Ray the study's proposals, then the finalists', until there are none."""

    def __init__(
        self,
        study: Study[TrialConfig],
        finalists: Finalists,
        task: Callable[[Proposal[TrialConfig], Resources], dict[str, Any]],
        slots: Slots,
    ) -> None:
        super().__init__(metric="val_top1", mode="max")
        self._study, self._finalists = study, finalists
        self._task, self._slots = task, slots

    # Ray's own searchers return the text FINISHED too; its annotation leaves it out.
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next trial's config for the worker, `None` (ask again later), or `FINISHED`."""
        slot = self._slots.take(trial_id)
        if slot is None:
            return None
        proposal = self._study.ask() or self._finalists.ask()
        if proposal is not None:
            return self._task(proposal, slot)
        self._slots.release(trial_id)
        return None if self._finalists.waiting() else self.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Its slot is free; the scheduler has told the study already, with the reason."""
        self._slots.release(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """An empty file for Ray: the study's state is in the run directory."""
        Path(checkpoint_path).touch()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a run is resumed from its own records, not from Ray's."""
        raise RuntimeError("a search is resumed with --resume, not with Tuner.restore")
