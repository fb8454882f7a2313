"""Trains a chosen configuration on train + val to the end, then opens test, once."""

import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision

from datasets.access import open_final_data
from datasets.manifest import verify
from datasets.prepare import prepare
from datasets.spec import DatasetError
from datasets.splits import FinalData
from results.records import EpochMetrics, FinalRecord, to_json
from trainables import weights
from trainables.augment import pixel_statistics
from trainables.best import BestConfig, BestError, read_best
from trainables.checkpoint import CheckpointError, read_history
from trainables.config import TrialConfig
from trainables.evaluate import evaluate
from trainables.files import write_atomically
from trainables.networks import Network
from trainables.networks import check as check_network
from trainables.parts import NetworkError
from trainables.process import prepare_process
from trainables.train import default_device, new_network, train

MODEL, RECORD, HISTORY, CHECKPOINT = "model.pt", "final.json", "history.jsonl", "checkpoint.pt"


class FinalError(Exception):
    """Final training can't start or go on; the message says why and what to do."""


REFUSALS = (
    BestError,
    CheckpointError,
    DatasetError,
    FinalError,
    NetworkError,
    weights.WeightsError,
)
"""What `run` raises, besides `ConfigError` and `OSError`, with one sentence for the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The command line; `None` leaves what best.yaml says, or the default of the help text."""

    config: Path
    data: Path
    source: Path | None
    out: Path | None
    epochs: int | None
    weights: str | None
    seed: int | None
    threads: int
    overwrite: bool


def train_finally(
    best: BestConfig, data: FinalData, out: Path, device: torch.device
) -> FinalRecord:
    """Trains `best.config`, prints a line an epoch, and writes the outcome into `out`.

    Goes on from `out`'s checkpoint where there is one. Writes `model.pt` (the state dict of all
    stages), `history.jsonl` (an `EpochMetrics` a line) and last `final.json`; only then the
    checkpoint goes. Raises `FinalError` when the loss is no longer finite.
    """
    config, checkpoint = best.config, out / CHECKPOINT
    history = read_history(checkpoint) if checkpoint.exists() else []
    if history:
        print(f"going on after epoch {len(history)} of {config.epochs}")
    network = new_network(config, len(data.images.class_ids), device)
    resume = checkpoint if history else None
    for metrics in train(
        config, data, resume, checkpoint=checkpoint, network=network, device=device
    ):
        history.append(metrics)
        print(_line(metrics, config.epochs), flush=True)
        if metrics.train_loss is None:
            checkpoint.unlink(missing_ok=True)
            raise FinalError(
                f"The training loss must stay finite, but epoch {metrics.epoch} diverged: lower "
                f"lr ({config.lr:g}) in the configuration, or try another --seed."
            )
    record = _test(best, data, network, history, device)
    _write(out, network, history, record)
    return record


def _test(
    best: BestConfig,
    data: FinalData,
    network: Network,
    history: list[EpochMetrics],
    device: torch.device,
) -> FinalRecord:
    """The one place where test is opened."""
    started = time.perf_counter()
    outcome = evaluate(network, data.test, data.images, best.config, device)
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
        provenance={"selection": best.selection} | _circumstances(best.config, data, device),
    )


def _circumstances(config: TrialConfig, data: FinalData, device: torch.device) -> dict[str, Any]:
    mean, std = pixel_statistics(data.images, config.normalise)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "dataset_fingerprint": data.images.fingerprint,
        "class_ids": list(data.images.class_ids),
        "mean": list(mean),
        "std": list(std),
        "device": gpu or platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def _write(out: Path, network: Network, history: list[EpochMetrics], record: FinalRecord) -> None:
    state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    lines = "".join(to_json(epoch) + "\n" for epoch in history)
    write_atomically(out / MODEL, lambda file: torch.save(state, file))
    write_atomically(out / HISTORY, lambda file: file.write(lines.encode()))
    write_atomically(out / RECORD, lambda file: file.write(to_json(record).encode() + b"\n"))
    (out / CHECKPOINT).unlink(missing_ok=True)


def _line(metrics: EpochMetrics, epochs: int) -> str:
    loss = "not finite" if metrics.train_loss is None else f"{metrics.train_loss:.4f}"
    return (
        f"epoch {metrics.epoch:>{len(str(epochs))}}/{epochs}  loss {loss}  "
        f"train_top1 {metrics.train_top1:.1%}  lr {metrics.lr:.2e}  "
        f"{metrics.images_per_s:,.0f} images/s  {metrics.wall_s:.1f} s"
    )


def _changed(config: TrialConfig, options: Options) -> TrialConfig:
    """The configuration with what the command line says differently."""
    wanted = {"epochs": options.epochs, "weights": options.weights, "seed": options.seed}
    return config.but(**{name: value for name, value in wanted.items() if value is not None})


def _open_data(best: BestConfig, options: Options) -> FinalData:
    prepare(best.dataset, source=options.source, data=options.data, size=best.image_size)
    data = open_final_data(options.data / best.dataset)
    if best.fingerprint not in (None, data.images.fingerprint):
        raise FinalError(
            f"The dataset must be the one that the search saw, {best.dataset} with fingerprint "
            f"{best.fingerprint}, but {options.data / best.dataset} has "
            f"{data.images.fingerprint}: pass the search's --data or --source; own images must be "
            "stored at the same size too."
        )
    verify(options.data / best.dataset)
    return data


def run(options: Options) -> FinalRecord:
    """Checks everything that can be checked before the first step, then trains."""
    chosen = read_best(options.config)
    best = replace(chosen, config=_changed(chosen.config, options))
    out = options.out or options.config.parent / "final"
    if (out / RECORD).exists() and not (out / CHECKPOINT).exists() and not options.overwrite:
        raise FinalError(
            f"--out must hold no finished training, but {out / RECORD} exists: choose another "
            "--out, or pass --overwrite."
        )
    weights.check(best.config, check_network(best.config))
    data = _open_data(best, options)
    if best.config.class_weighting > 0:
        print(
            "note: class_weighting follows the recall of training images here, as there is no "
            "val; while the network learns them by heart, it fades."
        )
    prepare_process(options.threads)
    record = train_finally(best, data, out, default_device())
    print(
        f"test top-1 {record.test_top1:.2%}  top-5 {record.test_top5:.2%}  "
        f"({record.test_images:,} images, opened once)\n{out / MODEL}\n{out / RECORD}"
    )
    return record
