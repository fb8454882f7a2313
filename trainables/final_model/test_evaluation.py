"""Evaluates a final model on test in a single pass and saves the outcome to disk.

No other module of training opens test.
"""

import hashlib
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from common.files import write_atomically
from datasets.loading.loader import batches
from datasets.splits import FinalData, Images, Split
from results.analysis.error_analysis import select_examples
from results.predictions import PREDICTIONS, Predictions, read_predictions
from trainables.augmentation.batch import for_evaluation
from trainables.config import TrialConfig
from trainables.models.inference import autocast, evaluation_batch
from trainables.models.network import Network
from trainables.training.batches import BatchFeeder
from trainables.training.evaluate import Evaluation, top_guesses


def open_test(
    out: Path, network: Network, data: FinalData, config: TrialConfig, device: torch.device
) -> Predictions:
    """Evaluates `network` on each test image and its mirror image, and saves the outcome in `out`.

    If a saved outcome is of the same weights and images, the function returns that one, and test
    stays closed. This happens if a training was killed after test was opened and before its record
    was written. Raises `RecordError` if the saved outcome is damaged.
    """
    origin = _origin(network, data, config)
    if (out / PREDICTIONS).exists():
        saved = read_predictions(out)
        if saved.origin == origin:
            return saved
    predictions = predict(network, data.test, data.images, config, device, origin=origin)
    examples = select_examples(predictions)
    complete = replace(predictions, examples=examples, pixels=_pixels(data.test, examples))
    write_atomically(out / PREDICTIONS, complete.save)
    return complete


@torch.inference_mode()
def predict(
    network: Network,
    split: Split,
    images: Images,
    config: TrialConfig,
    device: torch.device,
    *,
    origin: str = "",
) -> Predictions:
    """Evaluates every image of `split`, as it is and mirrored, and returns logits without examples.

    The images are treated as in `evaluate`. The network stays in evaluation mode.

    origin: a name for weights and images, which the result holds.
    """
    network.eval()
    outputs: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    source = BatchFeeder(device=device, resident=False).batches(
        split, evaluation_batch(config, device), order_seed=None, drop_last=False
    )
    # One context serves all batches, as in `Evaluator`, and casts weights to bfloat16 only once.
    with autocast(config, device), closing(source):
        for pixels, labels in source:
            logits, mirrored = (
                network(for_evaluation(each, config, images)) for each in (pixels, pixels.flip(2))
            )
            parts = (labels, top_guesses(logits)[:, 0], logits.float(), mirrored.float())
            outputs.append(tuple(part.cpu() for part in parts))  # type: ignore[arg-type]
    arrays = [torch.cat(parts).numpy() for parts in zip(*outputs, strict=True)]
    side = images.size
    return Predictions(
        labels=arrays[0],
        predicted=arrays[1],
        logits=arrays[2],
        mirrored=arrays[3],
        examples=np.empty(0, dtype=np.int64),
        pixels=np.empty((0, side, side, 3), dtype=np.uint8),
        origin=origin,
    )


def score(predictions: Predictions) -> Evaluation:
    """Returns what `evaluate` returns for the same images, except for the classes' recall."""
    logits, labels = torch.from_numpy(predictions.logits), torch.from_numpy(predictions.labels)
    among_five = (top_guesses(logits) == labels[:, None]).any(1)
    return Evaluation(
        loss=float(cross_entropy(logits.double(), labels)),
        top1=float(predictions.right.mean()),
        top5=float(among_five.double().mean()),
    )


def _pixels(split: Split, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Returns the pixels of the images at these positions: uint8 (k, side, side, 3).

    positions: int64 (k,), rising positions in `split`.
    """
    some = replace(split, indices=split.indices[positions])
    with closing(batches(some, len(positions), order_seed=None, drop_last=False)) as source:
        pixels: NDArray[np.uint8] = torch.cat([pixels for pixels, _ in source]).numpy()
    return pixels


def _origin(network: Network, data: FinalData, config: TrialConfig) -> str:
    """Returns a sha256 over weights, configuration and images, which names the three."""
    facts = json.dumps([config.to_dict(), data.images.fingerprint], sort_keys=True)
    digest = hashlib.sha256(facts.encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
