"""Classifies images by a trained model in torch, exactly as evaluation treats the dataset's."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.allowance import allowed_cores
from trainables.augmentation.batch import for_evaluation
from trainables.final_model.description import Description
from trainables.final_model.saved_model import read_model
from trainables.models.inference import autocast, evaluation_batch
from trainables.models.network import Network
from trainables.models.setup import default_device
from trainables.training.process import prepare_process


class TorchClassifier:
    """A `TorchClassifier` is a model on the first GPU, or on the CPU, in the precision that was
    tested.
    """

    name = "torch"

    def __init__(self, path: Path) -> None:
        model, self._device = read_model(path), default_device()
        prepare_process(min(torch.get_num_threads(), allowed_cores().amount))
        self.description = model.description
        self._network = model.network(self._device)
        self.batch_size = evaluation_batch(model.description.trial_config(), self._device)

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns float32 (B, classes) for uint8 (B, side, side, 3)."""
        images = torch.from_numpy(pixels).to(self._device)
        found: NDArray[np.float32] = (
            logits_of(self._network, self.description, images).cpu().numpy()
        )
        return found


@torch.inference_mode()
def logits_of(network: Network, description: Description, pixels: Tensor) -> Tensor:
    """Returns float32 (B, classes) for uint8 (B, side, side, 3), in the precision that was
    tested.
    """
    config = description.trial_config()
    with autocast(config, pixels.device):
        logits: Tensor = network(for_evaluation(pixels, config, description.images()))
    return logits.float()
