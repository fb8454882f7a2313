"""Implements Ray's `Searcher` with the supervisor, which proposes; the scheduler decides."""

from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from search.ray_backend.slots import Slots
from search.ray_backend.task import RunFiles
from search.study.observer import Observer
from search.study.supervisor import Supervisor


class StudySearcher(Searcher):
    """Passes the supervisor's proposals on to Ray until there are none, and to the observer."""

    def __init__(
        self, supervisor: Supervisor, observer: Observer, slots: Slots, files: RunFiles
    ) -> None:
        super().__init__()
        self._supervisor, self._observer = supervisor, observer
        self._slots, self._files = slots, files

    # Ray's own searchers return the text FINISHED too; its annotation leaves it out.
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Returns the next trial's config for the worker, `None` to be asked later, or
        `FINISHED`.
        """
        slot = self._slots.take(trial_id)
        if slot is None:
            return None
        proposal = self._supervisor.propose()
        if proposal is None:
            self._slots.release(trial_id)
            return None if self._supervisor.waiting() else self.FINISHED
        for record in self._supervisor.refused():
            self._observer.ended(record)
        self._observer.began(proposal, slot.gpus)
        measure = self._supervisor.unmeasured(proposal.training)
        return self._files.task(proposal, self._slots.place(slot), measure=measure).to_ray()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Releases the trial's slot; the scheduler has reported its end to the supervisor
        already.
        """
        self._slots.release(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Writes an empty file for Ray, because the study's state is in the run directory."""
        Path(checkpoint_path).touch()

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Ray pickles a tuner to restore it, but a run continues from its
        records.
        """
        return {}

    def restore(self, checkpoint_path: str) -> None:
        """Raises `RuntimeError`, because a run is resumed from its own records instead of Ray's."""
        raise RuntimeError("a search is resumed with --resume, not with Tuner.restore")
