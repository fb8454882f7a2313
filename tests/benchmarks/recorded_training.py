"""One training with everything that a table of recorded curves holds of it."""

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import Any

from torch.optim import Optimizer

from datasets.loading.share import share_of
from datasets.splits import SearchData, Split
from tests.benchmarks.recorded_rows import Task, cool_down_epochs, rungs
from trainables.config import TrialConfig
from trainables.models.network import Network
from trainables.models.setup import default_device, new_network
from trainables.train import Schedule, check, train_epoch
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.batches import BatchFeeder
from trainables.training.ema import WeightAverage
from trainables.training.evaluate import Evaluation, Evaluator
from trainables.training.optimizer import lr_at, make_optimizer
from trainables.training.step import TrainingSteps

AVERAGE_EPOCHS = 1.0
"""The running average of the weights forgets with a time constant of so many epochs."""


Curves = dict[str, list[float | None]]


@dataclass(frozen=True, kw_only=True)
class _Watched(AuxiliaryState):
    """What a training carries, and beside it an average of its weights that changes nothing."""

    beside: WeightAverage

    def after_step(self) -> None:
        super().after_step()
        self.beside.update()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Splits:
    """Names, for the records, of the two splits that are evaluated after each epoch."""

    val: Split
    train: Split

    def evaluate(self, evaluator: Evaluator) -> dict[str, Evaluation]:
        """The clean sample of train first, as a search does."""
        train = evaluator.evaluate(self.train)
        return {"val": evaluator.evaluate(self.val), "train": train}


def record(task: Task, data: SearchData) -> dict[str, Any]:
    """Trains `task` to its end and returns its line for the records.

    The numbers of `val_top1`, `val_loss`, `train_top1`, `train_eval_loss` and `train_loss` are
    those that a search would have seen, to the last bit. A loss that isn't finite ends the
    training; its curves stop there. Raises what `trainables.train.train` raises.
    """
    config, began = task.config, time.process_time()
    data = replace(data, train=share_of(data.train, task.fidelity.images))
    check(config, data)
    feeder = BatchFeeder(device=default_device())
    network = new_network(config, len(data.images.class_ids), feeder.device)
    optimizer = make_optimizer(network, config)
    steps = len(data.train) // config.batch_size
    auxiliary = _watched(network, config, data, feeder, steps)
    taking = TrainingSteps(network, optimizer, auxiliary, config, data.images)
    splits = _Splits(val=data.val, train=data.train_sample)
    evaluator = Evaluator(network, data.images, config, feeder)
    branch_at = rungs(config.epochs) if task.fidelity.name == "full" else ()

    def schedule(step: int, steps_per_epoch: int) -> float:
        return lr_at(config, step, steps_per_epoch)

    curves: Curves = {}
    branches: list[dict[str, Any]] = []
    for epoch in range(1, config.epochs + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        trained = train_epoch(taking, data.train, epoch, feeder, schedule)
        train_s = time.perf_counter() - wall
        with auxiliary.evaluated_weights():
            seen = splits.evaluate(evaluator)
        auxiliary.after_epoch(seen["val"])
        times = {
            "train_s": train_s,
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
        }
        _append(curves, "", seen)
        _append_values(curves, {"train_loss": trained.loss, "lr": trained.lr, **times})
        with auxiliary.beside.applied():
            _append(curves, "average_", splits.evaluate(evaluator))
        if config.ema:
            _append(curves, "raw_", splits.evaluate(evaluator))
        if not math.isfinite(trained.loss):
            break
        if epoch in branch_at:
            branch = cool_down(network, optimizer, auxiliary, config, data, feeder, epoch)
            branches.append({"rung": epoch} | branch)
    return {
        "row": task.row.number,
        "seed": task.seed,
        "fidelity": task.fidelity.name,
        "config": config.to_dict(),
        "images": len(data.train),
        "curves": curves,
        "cool_down": branches,
        "total_cpu_s": time.process_time() - began,
    }


def _watched(
    network: Network, config: TrialConfig, data: SearchData, feeder: BatchFeeder, steps: int
) -> _Watched:
    auxiliary = AuxiliaryState.begin(config, network, len(data.images.class_ids), feeder.device)
    decay = max(0.0, 1 - 1 / (AVERAGE_EPOCHS * steps))
    return _Watched(
        average=auxiliary.average,
        class_weights=auxiliary.class_weights,
        beside=WeightAverage(network, decay),
    )


def cool_down(
    network: Network,
    optimizer: Optimizer,
    auxiliary: AuxiliaryState,
    config: TrialConfig,
    data: SearchData,
    feeder: BatchFeeder,
    rung: int,
) -> dict[str, Any]:
    """What the training would be worth if it ended soon after `rung`.

    A copy of network and optimizer goes on with the images of the epochs that follow, while the
    learning rate falls from its value there to 0 in equal steps. No average of the weights takes
    part. The training itself is untouched.
    """
    epochs = cool_down_epochs(rung)
    branch = copy.deepcopy(network)
    branched = make_optimizer(branch, config)
    branched.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    cpu = time.process_time()
    plain, loss = AuxiliaryState(class_weights=auxiliary.class_weights), math.nan
    taking = TrainingSteps(branch, branched, plain, config, data.images)
    for epoch in range(rung + 1, rung + epochs + 1):
        schedule = cooling(config, rung, epochs)
        trained = train_epoch(taking, data.train, epoch, feeder, schedule)
        loss = trained.loss
        if not math.isfinite(loss):
            break
    evaluator = Evaluator(branch, data.images, config, feeder)
    seen = _Splits(val=data.val, train=data.train_sample).evaluate(evaluator)
    curves: Curves = {}
    _append(curves, "", seen)
    _append_values(curves, {"train_loss": loss})
    flat = {name: values[0] for name, values in curves.items()}
    return {"epochs": epochs, "cpu_s": time.process_time() - cpu} | flat


def cooling(config: TrialConfig, rung: int, epochs: int) -> Schedule:
    """From the learning rate of the first step after `rung` down to 0, over `epochs` epochs."""

    def schedule(step: int, steps_per_epoch: int) -> float:
        done = (step - rung * steps_per_epoch) / (epochs * steps_per_epoch)
        return lr_at(config, rung * steps_per_epoch, steps_per_epoch) * (1 - done)

    return schedule


def _append(curves: Curves, prefix: str, seen: dict[str, Evaluation]) -> None:
    values = {
        "val_top1": seen["val"].top1,
        "val_loss": seen["val"].loss,
        "train_top1": seen["train"].top1,
        "train_eval_loss": seen["train"].loss,
    }
    _append_values(curves, {f"{prefix}{name}": value for name, value in values.items()})


def _append_values(curves: Curves, values: dict[str, float]) -> None:
    for name, value in values.items():
        curves.setdefault(name, []).append(value if math.isfinite(value) else None)
