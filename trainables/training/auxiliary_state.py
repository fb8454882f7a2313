"""What a training carries from step to step beside network and optimizer."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class AuxiliaryState:
    """Each part is `None` where the configuration has it off, and then nothing is done for it."""

    average: WeightAverage | None = None
    class_weights: ClassWeights | None = None

    @classmethod
    def begin(
        cls, config: TrialConfig, network: Network, num_classes: int, device: torch.device
    ) -> Self:
        """What a training of `network` begins with."""
        average = WeightAverage(network, config.ema) if config.ema > 0 else None
        strength = config.class_weighting
        weights = ClassWeights(strength, num_classes, device) if strength > 0 else None
        return cls(average=average, class_weights=weights)

    def loss_weights(self) -> Tensor | None:
        """Float32 (classes,) for `train_step`."""
        return self.class_weights.weights if self.class_weights else None

    def after_step(self) -> None:
        """To be called after each optimizer step."""
        if self.average:
            self.average.update()

    @contextmanager
    def evaluated_weights(self) -> Iterator[None]:
        """The network meanwhile has the weights that are evaluated and saved."""
        if not self.average:
            yield
            return
        with self.average.applied():
            yield

    def after_epoch(self, evaluation: Evaluation) -> None:
        """To be called with what the next epoch is to learn from."""
        if self.class_weights:
            self.class_weights.update(evaluation.recall)

    def leave(self) -> None:
        """Leaves the network with the weights that are evaluated and saved: nothing trains now."""
        if self.average:
            self.average.swap()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training goes on from, of those that are on. Tensors aren't copied."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state in place, of an equal configuration."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, WeightAverage | ClassWeights]:
        parts = {"average": self.average, "class_weights": self.class_weights}
        return {name: part for name, part in parts.items() if part}


NOTHING = AuxiliaryState()
