"""Trains a chosen configuration on train + val to the end, then opens test, once."""

import platform
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError
from common.files import remove_leftovers, write_atomically
from common.json_records import to_json
from datasets.registry import find_dataset
from datasets.splits import FinalData
from results.analysis.final_run import RECORD
from results.records import EpochMetrics, FinalRecord
from trainables.augmentation.batch import pixel_statistics
from trainables.config import TrialConfig
from trainables.final_model.best_config import BestConfig
from trainables.final_model.description import MODEL
from trainables.final_model.test_evaluation import open_test, score
from trainables.final_model.training_data import describe_origin
from trainables.models.network import Network
from trainables.models.setup import new_network
from trainables.profiling.captured_steps import measure_capture
from trainables.torchvision_import import torchvision
from trainables.train import train_with_news
from trainables.training.checkpoint import read_history
from trainables.training.gpu_settings import apply_gpu_settings, describe_gpu

HISTORY, CHECKPOINT = "history.jsonl", "checkpoint.pt"
"""The folder of a final training holds epoch metrics in `HISTORY`, and its state in
`CHECKPOINT`.
"""


class FinalError(UserError):
    """This error says that final training can't start or continue; its message says why and what
    to do.
    """


def train_final_model(
    best: BestConfig,
    data: FinalData,
    out: Path,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> FinalRecord:
    """Trains `best.config`, prints a line per epoch, writes the outcome to `out`, and returns its
    record.

    If `out` has a checkpoint, training continues from it. It pauses with a `PauseError` once `stop`
    returns true. The function writes `predictions.npz`
    when it opens test, then `model.pt` (the state dict of all stages), `history.jsonl` (one
    `EpochMetrics` per line) and last `final.json`; only then it removes the checkpoint. Raises
    `FinalError` if the loss is no longer finite.
    """
    config, checkpoint = best.config, out / CHECKPOINT
    remove_leftovers(out)
    history: list[EpochMetrics] = []
    resume = checkpoint if checkpoint.exists() else None
    if resume:
        history = read_history(resume)
        print(f"going on after epoch {len(history)} of {config.epochs}")
    apply_gpu_settings(config.deterministic, device)  # before anything takes memory of the GPU
    captured = _captured(config, device)
    network = new_network(config, len(data.images.class_ids), device)
    for metrics in train_with_news(
        config,
        data,
        resume,
        checkpoint=checkpoint,
        network=network,
        device=device,
        captured=captured,
        stop=stop,
    ):
        if not isinstance(metrics, EpochMetrics):
            print(f"epoch {len(history) + 1} {metrics.text}", flush=True)
            continue
        history.append(metrics)
        print(_epoch_line(metrics, config.epochs), flush=True)
        if metrics.train_loss is None:
            checkpoint.unlink(missing_ok=True)
            raise FinalError(
                f"The training loss must stay finite, but epoch {metrics.epoch} diverged: lower "
                f"lr ({config.lr:g}) in the configuration, without its lines sha256 and "
                "schema_version, or try another --seed."
            )
    record = _evaluate_on_test(best, data, out, network, history, device, captured)
    _write(out, network, history, record)
    return record


def _captured(config: TrialConfig, device: torch.device) -> bool:
    """Measures whether a GPU trains faster if a step is one CUDA graph, says so, and returns it."""
    if device.type != "cuda":
        return False
    gain = _gain(config.but(seed=0), device)
    print(gain.describe(), flush=True)
    return gain.worthwhile


_gain = cache(measure_capture)
"""Repeats, which differ in their seeds, have one measurement."""


def _evaluate_on_test(
    best: BestConfig,
    data: FinalData,
    out: Path,
    network: Network,
    history: list[EpochMetrics],
    device: torch.device,
    captured: bool,
) -> FinalRecord:
    """Evaluates the trained network on test and returns the record of the final training."""
    started = time.perf_counter()
    predictions = open_test(out, network, data, best.config, device)
    outcome = score(predictions)
    wall_s = sum(epoch.wall_s for epoch in history) + time.perf_counter() - started
    return FinalRecord(
        config=best.config.to_dict(),
        test_top1=outcome.top1,
        test_top5=outcome.top5,
        test_loss=outcome.finite_loss,
        train_top1=history[-1].train_top1,
        test_images=len(data.test),
        train_images=len(data.train),
        wall_s=wall_s,
        provenance={"selection": best.selection} | _environment(best, data, device, captured),
        test_top1_flip=predictions.flip_averaged_top1(),
    )


def _environment(
    best: BestConfig, data: FinalData, device: torch.device, captured: bool
) -> dict[str, Any]:
    """Returns what the record states about dataset, normalisation, device and versions."""
    mean, std = pixel_statistics(data.images, best.config.normalise)
    spec = find_dataset(best.dataset)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        **describe_origin(best, data.images),
        "terms": spec.terms,
        "of_imagenet": spec.of_imagenet,
        "class_ids": list(data.images.class_ids),
        "class_names": list(data.images.class_names),
        "mean": list(mean),
        "std": list(std),
        "white": data.images.white,
        "device": gpu or platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        **({"captured_steps": captured} if gpu else {}),
        **describe_gpu(device),
    }


def _write(out: Path, network: Network, history: list[EpochMetrics], record: FinalRecord) -> None:
    """Writes the weights, the epochs' metrics and the record to `out`, and removes the
    checkpoint.
    """
    state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    lines = "".join(to_json(epoch) + "\n" for epoch in history)
    write_atomically(out / MODEL, lambda file: torch.save(state, file))
    write_atomically(out / HISTORY, lambda file: file.write(lines.encode()))
    write_atomically(out / RECORD, lambda file: file.write(to_json(record).encode() + b"\n"))
    (out / CHECKPOINT).unlink(missing_ok=True)


def _epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    """Returns an epoch's metrics as one line of text."""
    loss = "not finite" if metrics.train_loss is None else f"{metrics.train_loss:.4f}"
    return (
        f"epoch {metrics.epoch:>{len(str(epochs))}}/{epochs}  loss {loss}  "
        f"train_top1 {metrics.train_top1:.1%}  lr {metrics.lr:.2e}  "
        f"{metrics.images_per_s:,.0f} images/s  {metrics.wall_s:.1f} s"
    )
