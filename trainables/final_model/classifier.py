"""Classifies image files by a trained model, exactly as evaluation treats the dataset's images."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError
from common.regular_files import read_regular
from datasets.archives.limits import LARGEST_FILE_BYTES
from datasets.beton.decode import decode_into
from trainables.augmentation.batch import for_evaluation
from trainables.final_model.saved_model import Description
from trainables.models.network import Network
from trainables.training.evaluate import autocast


class ImageError(UserError):
    """This error says that an image can't be read; its message names the image and the reason."""


def read_image(path: Path, side: int, white: int | None) -> NDArray[np.uint8]:
    """Reads an image as a prepared dataset stores it: uint8 (side, side, 3).

    Raises `ImageError`.

    white: see `Description`.
    """
    pixels = np.empty((side, side, 3), dtype=np.uint8)
    try:
        decode_into(read_regular(path, LARGEST_FILE_BYTES), pixels, white)
    except MemoryError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"{path} can't be read: {reason}; check its path and rights.") from error
    except Exception as error:  # Pillow raises a dozen types for broken content
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path} must be an image, but {reason}; leave it out.") from error
    return pixels


@torch.inference_mode()
def logits_of(network: Network, description: Description, pixels: Tensor) -> Tensor:
    """Returns float32 (B, classes) for uint8 (B, side, side, 3), in the precision that was
    tested.
    """
    config = description.trial_config()
    with autocast(config, pixels.device):
        logits: Tensor = network(for_evaluation(pixels, config, description.images()))
    return logits.float()


def best_guesses(
    network: Network, description: Description, image: NDArray[np.uint8], device: torch.device
) -> list[tuple[str, float]]:
    """Returns the names of one image's five likeliest classes and their probabilities, best first.

    image: uint8 (side, side, 3).
    """
    logits = logits_of(network, description, torch.from_numpy(image)[None].to(device))[0]
    probabilities, classes = logits.softmax(0).topk(min(5, len(logits)))
    guesses = zip(classes.tolist(), probabilities.tolist(), strict=True)
    return [(description.class_names[number], probability) for number, probability in guesses]
