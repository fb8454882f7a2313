"""Takes the steps of a training: each augments a batch and descends along the gradient."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from datasets.splits import Images
from trainables.augmentation.batch import for_training
from trainables.augmentation.mixing import mix
from trainables.config import TrialConfig
from trainables.models.inference import autocast
from trainables.models.network import Network
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.class_weights import weighted_loss
from trainables.training.loss_scaling import LossScaler
from trainables.training.micro_batches import piece_sizes
from trainables.training.step_graph import StepGraph

Forward = Callable[[Tensor], Tensor]
"""A function of this type returns the logits of a batch: a `Network`, or one without its frozen
stages.
"""


class TrainingSteps:
    """A `TrainingSteps` takes the steps of one training in place.

    images: describes the dataset's images, for their augmentation.
    captured: whether a GPU takes a step as one CUDA graph, see `StepGraph`. On a CPU, and for a
    configuration that is compiled, this changes nothing.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        auxiliary: AuxiliaryState,
        config: TrialConfig,
        images: Images,
        *,
        captured: bool = False,
    ) -> None:
        self.network, self.optimizer, self.auxiliary = network, optimizer, auxiliary
        self.config, self._images = config, images
        device = next(network.parameters()).device
        graphed = captured and device.type == "cuda" and not config.compile
        self._graph = StepGraph(optimizer, device) if graphed else None

    @property
    def captured(self) -> bool:
        """Returns whether steps are taken as one CUDA graph by now."""
        return self._graph is not None and self._graph.captured

    def take(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Takes a step, and returns the batch's loss, float32 (), without waiting for a GPU. The
        next step may overwrite the loss.

        pixels: images, uint8 (B, H, W, 3), or outputs of frozen stages that are kept, floats
        (`trainables.training.frozen_views`), with the same shape at every call.
        labels: int64 (B,).
        """
        if self._graph:
            loss = self._graph.take(self._augment_and_train, pixels, labels)
        else:
            loss = self._augment_and_train(pixels, labels)
        self.auxiliary.after_step()
        return loss

    def _augment_and_train(self, pixels: Tensor, labels: Tensor) -> Tensor:
        config = self.config
        forward: Forward = self.network
        if pixels.dtype == torch.uint8:
            batch, targets = for_training(pixels, labels, config, self._images)
        else:
            forward = self.network.forward_features
            mixes = config.mixup_alpha > 0 or config.cutmix_alpha > 0
            outputs = pixels.float() if mixes else pixels
            batch, targets = mix(outputs, labels, config, len(self._images.class_ids))
        weights, scaler = self.auxiliary.loss_weights(), self.auxiliary.scaler
        return train_step(forward, self.optimizer, batch, targets, config, weights, scaler)


def train_step(
    network: Forward,
    optimizer: Optimizer,
    batch: Tensor,
    targets: Tensor,
    config: TrialConfig,
    class_weights: Tensor | None = None,
    scaler: LossScaler | None = None,
) -> Tensor:
    """Takes one step of gradient descent and returns the batch's loss, without waiting for it.

    With `config.micro_batch_size` the batch goes through the network in pieces, whose gradients
    add up to those of the batch's mean loss.

    class_weights: float32 (classes,), see `trainables.training.class_weights.weighted_loss`.
    scaler: scales the losses; without one, gradients in float16 may round to 0.
    """
    optimizer.zero_grad()  # first: the old gradients would lie beside all that is computed now
    if config.micro_batch_size is None:
        loss = _backward(network, batch, targets, config, class_weights, scaler)
    else:
        sizes = piece_sizes(len(batch), config.micro_batch_size)
        pieces = zip(torch.split(batch, sizes), torch.split(targets, sizes), strict=True)
        loss = torch.zeros((), device=batch.device)
        for images, wanted in pieces:
            share = len(images) / len(batch)
            loss += share * _backward(network, images, wanted, config, class_weights, scaler, share)
    if scaler is not None:
        return loss + scaler.step(optimizer)
    optimizer.step()
    return loss


def _backward(
    network: Forward,
    images: Tensor,
    targets: Tensor,
    config: TrialConfig,
    class_weights: Tensor | None,
    scaler: LossScaler | None,
    share: float = 1.0,
) -> Tensor:
    """Adds the gradients of `share` times the images' mean loss, and returns that loss itself."""
    with autocast(config, images.device):
        logits = network(images).float()
    if class_weights is None:
        loss = cross_entropy(logits, targets, label_smoothing=config.label_smoothing)
    else:
        loss = weighted_loss(logits, targets, class_weights, config.label_smoothing)
    seed = torch.full_like(loss, share)
    loss.backward(scaler.scale(seed) if scaler else seed)  # type: ignore[no-untyped-call]
    return loss.detach()
