"""Makes the tasks of a run, which have their files in common."""

from dataclasses import dataclass
from pathlib import Path

from results.store import checkpoint_path
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.task import Placement, Task
from search.study.proposal import Proposal
from trainables.config import TrialConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFiles:
    """Holds the places of a run's images and checkpoints.

    directory: the run's folder.
    data: the prepared dataset's folder.
    node_files: brings both to other nodes.
    """

    directory: Path
    data: Path
    node_files: NodeFiles

    def task(self, proposal: Proposal[TrialConfig], placement: Placement, *, measure: bool) -> Task:
        """Returns the task of a proposal that has got a place on a machine."""
        return Task(
            training=proposal.training,
            config=proposal.config,
            epochs_done=proposal.epochs_done,
            data=self.data.resolve(),
            checkpoint=checkpoint_path(self.directory, proposal.training).resolve(),
            node_files=self.node_files,
            placement=placement,
            measure=measure,
        )
