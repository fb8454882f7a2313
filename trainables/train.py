"""Trains one trial and yields a stream of epoch metrics, without knowing who runs the trial."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.spec import VAL_FRACTION
from datasets.splits import SPLIT_SEED, FinalData, SearchData, Split
from results.records import EpochMetrics
from trainables.config import ConfigError, TrialConfig
from trainables.models.network import Network
from trainables.models.setup import default_device, new_network
from trainables.training import checkpoint as checkpoints
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.batches import BatchFeeder
from trainables.training.checkpoint_writer import prepare_epoch, save_part, writing
from trainables.training.epoch import PartialEpoch, PauseError, TrainedEpoch, make_metrics
from trainables.training.evaluate import Evaluation, Evaluator
from trainables.training.frozen_views import FrozenViews, OutputBatches, Preparation
from trainables.training.gpu_settings import apply_gpu_settings
from trainables.training.memory import (
    out_of_memory,
    peak_bytes,
    release_frames,
    release_gpu_memory,
    reset_peak,
)
from trainables.training.optimizer import lr_at, make_optimizer, set_lr
from trainables.training.step import TrainingSteps

CHECK_EVERY = 50
"""Training checks every so many steps that the loss is finite; each check makes a GPU wait."""

Schedule = Callable[[int, int], float]
"""A schedule returns the learning rate of a step, from the step's number, counted from 0 over all
epochs, and the number of steps in an epoch.
"""


def train_with_news(
    config: TrialConfig,
    data: SearchData | FinalData,
    resume: Path | None = None,
    *,
    checkpoint: Path | None = None,
    on_saved: Callable[[Path], object] | None = None,
    network: Network | None = None,
    device: torch.device | None = None,
    resident: bool | None = None,
    captured: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[EpochMetrics | Preparation, None, None]:
    """Trains `config` and yields each epoch's metrics as soon as the epoch is trained and
    evaluated. Where outputs of frozen stages are computed first (`config.views`) and that takes
    long, it also yields how far they are; `train` is the same without these.

    A checkpoint is written when another epoch is requested and `SAVE_EVERY_S` seconds have passed
    since the last one, and after the last epoch. Within an epoch that takes long, one is written
    every `SAVE_WITHIN_S` seconds. If the caller closes the generator instead, as a search does when
    it stops a trial, nothing more is written. So the file may lag behind the yielded epochs; a
    resumed training repeats those epochs. A thread writes the file during the next epoch, and
    finishes it before that epoch is yielded.

    Everything random comes from torch's global generators, which are seeded from `config.seed` and
    the epoch. On a CPU with a fixed number of threads, equal calls give equal numbers, and a
    resumed training gives the numbers of an uninterrupted one. On a GPU, numbers differ a little
    from call to call, also in repeated epochs, unless `config.deterministic` is set. A loss that
    isn't finite ends its epoch early and is yielded as `None`; the caller decides whether to go on.

    Raises, at the first `next` and before the first step: `ConfigError` (the precision is not
    resolved, or there are fewer images than a batch), `WeightsError`, `NetworkError` and
    `CheckpointError`. Raises `OSError` if a file can't be written, before the next epoch is
    yielded, and `PauseError` after `stop`. If memory ran out (`memory.out_of_memory`), the
    training's memory is free when the error arrives.

    resume: a checkpoint to continue from; its epochs aren't yielded again.
    checkpoint: the file to write checkpoints to.
    on_saved: receives the path of each checkpoint, in the thread that wrote it. With this function,
    every epoch has a checkpoint.
    network: what to train in place (by default a new one, see `new_network`). An average of its
    weights (`config.ema`) is what is evaluated; the network holds it after the last epoch.
    device: by default the first GPU if there is one, else the CPU.
    resident: whether the images stay on a GPU (`BatchFeeder`).
    captured: whether a GPU takes a step as one CUDA graph (`TrainingSteps`).
    stop: is called after each step, each epoch and each batch of outputs of frozen stages. Once it
    returns true, `checkpoint` gets what `resume` lacks of the state, and `PauseError` ends this.
    """
    feeder = BatchFeeder(device=device or default_device(), resident=resident)
    apply_gpu_settings(config.deterministic, feeder.device)
    try:
        yield from _train(
            config, data, resume, checkpoint, on_saved, network, feeder, captured, stop
        )
    except Exception as error:
        if out_of_memory(error):
            release_frames(error)
        raise
    finally:
        release_gpu_memory(feeder.device)


def train(
    config: TrialConfig, data: SearchData | FinalData, resume: Path | None = None, **options: Any
) -> Iterator[EpochMetrics]:
    """Does what `train_with_news` does, with the same options, and yields metrics alone."""
    with closing(train_with_news(config, data, resume, **options)) as found:
        yield from (each for each in found if isinstance(each, EpochMetrics))


def _train(
    config: TrialConfig,
    data: SearchData | FinalData,
    resume: Path | None,
    checkpoint: Path | None,
    on_saved: Callable[[Path], object] | None,
    network: Network | None,
    feeder: BatchFeeder,
    captured: bool,
    stop: Callable[[], bool],
) -> Generator[EpochMetrics | Preparation, None, None]:
    began = time.perf_counter()
    check(config, data)
    num_classes = len(data.images.class_ids)
    network = network or new_network(config, num_classes, feeder.device)
    optimizer = make_optimizer(network, config)
    identity = checkpoints.training_key(config, data.images.fingerprint, network)
    auxiliary = AuxiliaryState.begin(config, network, num_classes, feeder.device)
    history, begun = (
        checkpoints.load(resume, network, optimizer, identity, auxiliary) if resume else ([], None)
    )
    views = FrozenViews.of(network, data.images, config, feeder, data.train)
    steps = TrainingSteps(network, optimizer, auxiliary, config, data.images, captured=captured)
    splits = _evaluated_splits(data)
    evaluator = Evaluator(network, data.images, config, feeder)
    schedule = partial(lr_at, config)
    reset_peak(feeder.device)
    with writing(checkpoint, identity, auxiliary, on_saved) as writer:
        after_step = partial(save_part, writer, network, optimizer, history, feeder.device, stop)
        for epoch in range(len(history) + 1, config.epochs + 1):
            started = time.perf_counter()
            kept = [views, *(evaluator.views(split) for split in splits if split)]
            yield from prepare_epoch(writer, network, optimizer, history, begun, kept, stop)
            source = views.of_epoch(epoch) if views else feeder
            trained = train_epoch(steps, data.train, epoch, source, schedule, begun, after_step)
            train_s, begun = time.perf_counter() - started, None
            metrics = make_metrics(
                epoch,
                trained,
                *_evaluate(evaluator, auxiliary, *splits),
                start_s=trained.first_step_at - began,
                train_s=train_s,
                wall_s=time.perf_counter() - started,
                peak_memory_bytes=peak_bytes(feeder.device),
            )
            history.append(metrics)
            paused = stop()  # whoever asked for it may not ask for another epoch
            if writer:
                if paused:
                    writer.save(network, optimizer, history)
                writer.wait()
            yield metrics
            if paused and epoch < config.epochs:
                raise PauseError(f"is saved after epoch {epoch}")
            began = time.perf_counter()
            if writer and (writer.due() or epoch == config.epochs):
                writer.save(network, optimizer, history)
        if writer:
            writer.wait()
    auxiliary.finish()


def _evaluate(
    evaluator: Evaluator, auxiliary: AuxiliaryState, sample: Split, held_out: Split | None
) -> tuple[Evaluation, Evaluation | None]:
    """Returns the evaluations of an epoch on the sample of train, and on val if there is one."""
    with auxiliary.evaluated_weights():
        seen = evaluator.evaluate(sample)
        val = evaluator.evaluate(held_out, calibrated=True) if held_out else None
    auxiliary.after_epoch(val or seen)
    return seen, val


def train_epoch(
    steps: TrainingSteps,
    train: Split,
    epoch: int,
    feeder: BatchFeeder | OutputBatches,
    schedule: Schedule,
    begun: PartialEpoch | None = None,
    after_step: Callable[[int, Tensor], object] = lambda _step, _total: None,
) -> TrainedEpoch:
    """Trains the `epoch`-th epoch (from 1) in place, on every batch of `train` once.

    All that is random follows from the configuration's seed and `epoch`. The learning rate of each
    step is `schedule`'s, whatever the configuration says. A loss that isn't finite cuts the epoch
    short.

    begun: the part of the epoch that was trained before; its batches are passed over.
    after_step: is called after each step but the last, with the number of steps done and the sum of
    their losses, float64 ().
    """
    config, auxiliary = steps.config, steps.auxiliary
    order_seed = _seed_everything(config.seed, epoch)
    count = len(train) // config.batch_size
    first = begun.step if begun else 0
    total = torch.zeros((), dtype=torch.float64, device=feeder.device)
    done, lr, first_step_at, waited_s = first, 0.0, 0.0, 0.0
    steps.network.train()
    source = feeder.batches(train, config.batch_size, order_seed=order_seed, drop_last=True)
    with closing(source):
        if begun:
            total += begun.loss
            for _ in range(first):
                next(source)
            begun.restore_generators(feeder.device)
        asked_at = time.perf_counter()
        for done, (pixels, labels) in enumerate(source, start=first + 1):
            first_step_at = first_step_at or time.perf_counter()
            waited_s += time.perf_counter() - asked_at
            lr = schedule((epoch - 1) * count + done - 1, count)
            set_lr(steps.optimizer, lr)
            total += steps.take(pixels, labels)
            if done % CHECK_EVERY == 0 and not math.isfinite(total.item()):
                break
            if done < count:
                after_step(done, total)
            asked_at = time.perf_counter()
    return TrainedEpoch(
        loss=total.item() / done,
        lr=lr,
        images=(done - first) * config.batch_size,
        first_step_at=first_step_at,
        waited_s=waited_s,
        skipped_steps=auxiliary.take_skipped_steps(),
    )


def check(config: TrialConfig, data: SearchData | FinalData) -> None:
    """Raises `ConfigError` where `config` can't be trained on `data`, whatever the network."""
    errors = []
    if config.precision == "auto":
        errors.append(
            "precision must be bfloat16, float16 or float32 when training starts, but got "
            "precision='auto': name one of them."
        )
    if len(data.train) < config.batch_size:
        errors.append(
            f"batch_size must be ≤ {len(data.train)}, the number of training images, but got "
            f"batch_size={config.batch_size}: lower it, or use more images."
        )
    if errors:
        raise ConfigError(errors)


def _evaluated_splits(data: SearchData | FinalData) -> tuple[Split, Split | None]:
    """Returns a clean sample of train, and val if there is one.

    Final training has no val; its sample is a fixed tenth of its training images.
    """
    if isinstance(data, SearchData):
        return data.train_sample, data.val
    wanted = max(1, round(VAL_FRACTION * len(data.train)))
    chosen = np.random.default_rng(SPLIT_SEED).choice(data.train.indices, wanted, replace=False)
    return Split(name="train_sample", beton=data.train.beton, indices=np.sort(chosen)), None


def _seed_everything(seed: int, epoch: int) -> int:
    """Seeds torch for one epoch, independently of earlier epochs, and returns a seed for its
    order.
    """
    words = np.random.SeedSequence([seed, epoch]).generate_state(2)
    torch.manual_seed(int(words[0]))
    return int(words[1])
