"""The one place where test is opened: a single pass, whose outcome is kept on disk."""

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
from trainables.models.network import Network
from trainables.training.batches import BatchFeeder
from trainables.training.evaluate import Evaluation, autocast, evaluation_batch, top_guesses


def open_test(
    out: Path, network: Network, data: FinalData, config: TrialConfig, device: torch.device
) -> Predictions:
    """What `network` says of each test image and of its mirror image, kept in `out`.

    Where these weights have seen these images before, as when a training was killed between this
    and its record, that outcome is read back and test stays closed. Raises `RecordError` for a
    damaged one.
    """
    origin = _origin(network, data, config)
    if (out / PREDICTIONS).exists():
        known = read_predictions(out)
        if known.origin == origin:
            return known
    seen = predict(network, data.test, data.images, config, device, origin=origin)
    examples = select_examples(seen)
    kept = replace(seen, examples=examples, pixels=_pixels(data.test, examples))
    write_atomically(out / PREDICTIONS, kept.save)
    return kept


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
    """Every image of `split` as it is and mirrored, as `evaluate` sees it; no examples.

    Leaves the network in evaluation mode.
    """
    network.eval()
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    source = BatchFeeder(device=device, resident=False).batches(
        split, evaluation_batch(config), order_seed=None, drop_last=False
    )
    # One context for all batches, as in `Evaluator`: weights are cast to bfloat16 once.
    with autocast(config, device), closing(source):
        for pixels, labels in source:
            logits, mirrored = (
                network(for_evaluation(each, config, images)) for each in (pixels, pixels.flip(2))
            )
            parts = (labels, top_guesses(logits)[:, 0], logits.float(), mirrored.float())
            found.append(tuple(part.cpu() for part in parts))  # type: ignore[arg-type]
    arrays = [torch.cat(parts).numpy() for parts in zip(*found, strict=True)]
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
    """What `evaluate` gives for the same images, but for their recall."""
    logits, labels = torch.from_numpy(predictions.logits), torch.from_numpy(predictions.labels)
    among_five = (top_guesses(logits) == labels[:, None]).any(1)
    return Evaluation(
        loss=float(cross_entropy(logits.double(), labels)),
        top1=float(predictions.right.mean()),
        top5=float(among_five.double().mean()),
    )


def _pixels(split: Split, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Of the images at these rising positions in `split`: uint8 (k, side, side, 3)."""
    some = replace(split, indices=split.indices[positions])
    with closing(batches(some, len(positions), order_seed=None, drop_last=False)) as source:
        pixels: NDArray[np.uint8] = torch.cat([pixels for pixels, _ in source]).numpy()
    return pixels


def _origin(network: Network, data: FinalData, config: TrialConfig) -> str:
    """Names weights, configuration and images: a sha256 of them."""
    told = json.dumps([config.to_dict(), data.images.fingerprint], sort_keys=True)
    digest = hashlib.sha256(told.encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
