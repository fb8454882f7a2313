"""Turns what training and evaluation measure in an epoch into its record."""

from dataclasses import dataclass

from results.records import EpochMetrics
from trainables.training.evaluate import Evaluation, finite_or_none


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedEpoch:
    """A `TrainedEpoch` holds what training for one epoch has measured.

    loss: the mean over the steps. lr: the last step's learning rate. images: how many were trained.
    first_step_at: when the first batch was ready, on the clock of `time.perf_counter`.
    waited_s: how many seconds the loop waited for that batch and all others.
    skipped_steps: how many steps left the weights as they were, see `LossScaler`.
    """

    loss: float
    lr: float
    images: int
    first_step_at: float
    waited_s: float
    skipped_steps: int = 0


def make_metrics(
    epoch: int,
    trained: TrainedEpoch,
    seen: Evaluation,
    val: Evaluation | None,
    *,
    start_s: float,
    train_s: float,
    wall_s: float,
    peak_memory_bytes: int,
) -> EpochMetrics:
    """Returns the record of an epoch. `seen` is the evaluation on clean training images, `val` that
    on val, `None` where there is no val.
    """
    return EpochMetrics(
        epoch=epoch,
        train_loss=finite_or_none(trained.loss),
        train_top1=seen.top1,
        val_loss=val.finite_loss if val else None,
        val_top1=val.top1 if val else None,
        val_top5=val.top5 if val else None,
        gap=seen.top1 - val.top1 if val else None,
        lr=trained.lr,
        images_per_s=trained.images / train_s,
        train_s=train_s,
        wall_s=wall_s,
        peak_memory_bytes=peak_memory_bytes,
        start_s=start_s,
        loading_s=trained.waited_s,
        skipped_steps=trained.skipped_steps,
    )
