"""Tasks and results as they travel between the driver and a worker."""

from pathlib import Path
from typing import Any

from results.records import EpochMetrics, TrainingId
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.task import EpochReport, Placement, Task, pack_report
from search.study.proposer import Proposal
from trainables.config import TrialConfig


def make_task(
    number: int = 0,
    repeat: int | None = None,
    *,
    config: TrialConfig | None = None,
    **more: Any,
) -> Task:
    """The task of a training, on one thread of this machine."""
    values: dict[str, Any] = {
        "training": TrainingId(number, repeat),
        "config": config or TrialConfig(network="resnet10", epochs=9),
        "epochs_done": 0,
        "data": Path("/data/tiny"),
        "checkpoint": Path("/runs/a/checkpoints/0000.pt"),
        "node_files": NodeFiles(),
        "placement": Placement(threads=1),
    }
    return Task(**(values | more))


def task_of(proposal: Proposal[TrialConfig], **more: Any) -> Task:
    """The task of a proposal."""
    training = proposal.training
    values = {"config": proposal.config, "epochs_done": proposal.epochs_done} | more
    return make_task(training.number, training.repeat, **values)


def result_of(metrics: EpochMetrics) -> dict[str, Any]:
    """What a worker returns to Ray for an epoch."""
    return pack_report(EpochReport(metrics=metrics, first_step_at=0.0))
