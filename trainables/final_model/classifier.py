"""Image files through a trained model, exactly as evaluation took the images of its dataset."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError
from datasets.beton.decode import decode_into
from trainables.augmentation.batch import for_evaluation
from trainables.final_model.saved_model import Description
from trainables.models.network import Network
from trainables.training.evaluate import autocast


class ImageError(UserError):
    """An image can't be read; the message names it and says why."""


def read_image(path: Path, side: int) -> NDArray[np.uint8]:
    """uint8 (side, side, 3), as preparing a dataset stores it. Raises `ImageError`."""
    pixels = np.empty((side, side, 3), dtype=np.uint8)
    try:
        decode_into(path.read_bytes(), pixels)
    except MemoryError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"{path} can't be read: {reason}.") from error
    except Exception as error:  # Pillow raises a dozen types for broken content
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path} must be an image, but {reason}.") from error
    return pixels


@torch.inference_mode()
def logits_of(network: Network, description: Description, pixels: Tensor) -> Tensor:
    """Float32 (B, classes) of uint8 (B, side, side, 3), in the precision that was tested."""
    config = description.trial_config()
    with autocast(config, pixels.device):
        logits: Tensor = network(for_evaluation(pixels, config, description.images()))
    return logits.float()


def best_guesses(
    network: Network, description: Description, image: NDArray[np.uint8], device: torch.device
) -> list[tuple[str, float]]:
    """The five likeliest classes of one image and their probabilities, the likeliest first."""
    logits = logits_of(network, description, torch.from_numpy(image)[None].to(device))[0]
    probabilities, classes = logits.softmax(0).topk(min(5, len(logits)))
    found = zip(classes.tolist(), probabilities.tolist(), strict=True)
    return [(description.class_names[number], probability) for number, probability in found]
