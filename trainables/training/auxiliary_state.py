"""Holds a training's state beside network and optimizer, from one step to the next."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.models.network import Network
from trainables.training.class_weights import ClassWeights
from trainables.training.ema import WeightAverage
from trainables.training.evaluate import Evaluation
from trainables.training.loss_scaling import LossScaler


@dataclass(frozen=True, kw_only=True, slots=True)
class AuxiliaryState:
    """An `AuxiliaryState` holds the average of the weights, the class weights and the scaler of the
    loss of one training.

    A part is `None` if the configuration turns it off; the methods then do nothing for it.
    """

    average: WeightAverage | None = None
    class_weights: ClassWeights | None = None
    scaler: LossScaler | None = None

    @classmethod
    def begin(
        cls, config: TrialConfig, network: Network, num_classes: int, device: torch.device
    ) -> Self:
        """Returns the parts that `config` turns on, as they are when a training of `network`
        begins.
        """
        average = WeightAverage(network, config.ema) if config.ema > 0 else None
        strength = config.class_weighting
        weights = ClassWeights(strength, num_classes, device) if strength > 0 else None
        scaler = LossScaler(device) if config.precision == "float16" else None
        return cls(average=average, class_weights=weights, scaler=scaler)

    def loss_weights(self) -> Tensor | None:
        """Returns the class weights for `train_step`, float32 (classes,), or `None` if they are
        off.
        """
        return self.class_weights.weights if self.class_weights else None

    def after_step(self) -> None:
        """Updates the average of the weights; training calls this after each optimizer step."""
        if self.average:
            self.average.update()

    def take_skipped_steps(self) -> int:
        """Returns how many steps were skipped since the last call, see `LossScaler`."""
        return self.scaler.take_skipped() if self.scaler else 0

    @contextmanager
    def evaluated_weights(self) -> Iterator[None]:
        """Gives the network the weights that are evaluated and saved while the block runs."""
        if not self.average:
            yield
            return
        with self.average.applied():
            yield

    def after_epoch(self, evaluation: Evaluation) -> None:
        """Updates the class weights; training calls this after each epoch with the newest
        evaluation.
        """
        if self.class_weights:
            self.class_weights.update(evaluation.recall)

    def finish(self) -> None:
        """Gives the network the weights that are evaluated and saved, after the last epoch."""
        if self.average:
            self.average.swap()

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of all parts that are on, for a checkpoint. Tensors aren't copied."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the parts in place from a checkpoint of a training with an equal
        configuration.
        """
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, WeightAverage | ClassWeights | LossScaler]:
        """Returns the parts that the configuration turns on, by name."""
        parts = {
            "average": self.average,
            "class_weights": self.class_weights,
            "scaler": self.scaler,
        }
        return {name: part for name, part in parts.items() if part}


NO_AUXILIARY_STATE = AuxiliaryState()
"""This state is for trainings that turn all parts off."""
