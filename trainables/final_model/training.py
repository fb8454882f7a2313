"""Trains a chosen configuration on train + val to the end, then opens test, once."""

import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision

from common.cli import quote
from common.errors import UserError
from common.files import write_atomically
from common.json_records import to_json
from datasets.access import open_final_data
from datasets.manifest import verify
from datasets.prepare import prepare
from datasets.registry import find_dataset
from datasets.splits import FinalData
from results.analysis.final_run import RECORD, read_record
from results.records import EpochMetrics, FinalRecord
from trainables.augmentation.batch import pixel_statistics
from trainables.config import TrialConfig
from trainables.final_model.best_config import BestConfig, read_best
from trainables.final_model.saved_model import MODEL
from trainables.final_model.test_evaluation import open_test, score
from trainables.models import pretrained
from trainables.models.network import Network
from trainables.models.network import check as check_network
from trainables.models.setup import default_device, new_network
from trainables.train import train
from trainables.training.checkpoint import read_history
from trainables.training.process import prepare_process

HISTORY, CHECKPOINT = "history.jsonl", "checkpoint.pt"
"""The folder of a final training holds epoch metrics in `HISTORY`, and its state in
`CHECKPOINT`.
"""


class FinalError(UserError):
    """This error says that final training can't start or continue; its message says why and what
    to do.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalTrainingOptions:
    """These are the options of the command line.

    `None` stands for what best.yaml states, or for the default that the help text names.
    """

    config: Path
    data: Path
    source: Path | None
    out: Path | None
    epochs: int | None
    weights: str | None
    seed: int | None
    repeats: int
    threads: int
    overwrite: bool


def train_final_model(
    best: BestConfig, data: FinalData, out: Path, device: torch.device
) -> FinalRecord:
    """Trains `best.config`, prints a line per epoch, writes the outcome to `out`, and returns its
    record.

    If `out` has a checkpoint, training continues from it. The function writes `predictions.npz`
    when it opens test, then `model.pt` (the state dict of all stages), `history.jsonl` (one
    `EpochMetrics` per line) and last `final.json`; only then it removes the checkpoint. Raises
    `FinalError` if the loss is no longer finite.
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
        print(_epoch_line(metrics, config.epochs), flush=True)
        if metrics.train_loss is None:
            checkpoint.unlink(missing_ok=True)
            raise FinalError(
                f"The training loss must stay finite, but epoch {metrics.epoch} diverged: lower "
                f"lr ({config.lr:g}) in the configuration, without its lines sha256 and "
                "schema_version, or try another --seed."
            )
    record = _evaluate_on_test(best, data, out, network, history, device)
    _write(out, network, history, record)
    return record


def _evaluate_on_test(
    best: BestConfig,
    data: FinalData,
    out: Path,
    network: Network,
    history: list[EpochMetrics],
    device: torch.device,
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
        provenance={"selection": best.selection} | _environment(best, data, device),
        test_top1_flip=predictions.flip_averaged_top1(),
    )


def _environment(best: BestConfig, data: FinalData, device: torch.device) -> dict[str, Any]:
    """Returns what the record states about dataset, normalisation, device and versions."""
    mean, std = pixel_statistics(data.images, best.config.normalise)
    spec = find_dataset(best.dataset)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "dataset": best.dataset,
        "dataset_fingerprint": data.images.fingerprint,
        "terms": spec.terms,
        "of_imagenet": spec.of_imagenet,
        "class_ids": list(data.images.class_ids),
        "class_names": list(data.images.class_names),
        "stored_px": data.images.size,
        "mean": list(mean),
        "std": list(std),
        "white": data.images.white,
        "device": gpu or platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
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


def _apply_options(best: BestConfig, options: FinalTrainingOptions) -> TrialConfig:
    """Returns the configuration with the values that the command line changes.

    Raises `FinalError` where a file from elsewhere names a file of weights that the command line
    doesn't name.
    """
    config = best.config
    if not (best.own or options.weights or config.weights in ("none", "imagenet")):
        raise FinalError(
            "--weights must name the file of weights too where --config isn't signed with your "
            f"key, but {options.config} alone names it; if you trust it, add "
            f"`{quote(f'--weights={config.weights}')}` to the same command."
        )
    changes = {"epochs": options.epochs, "weights": options.weights, "seed": options.seed}
    return config.but(**{name: value for name, value in changes.items() if value is not None})


def _open_data(best: BestConfig, options: FinalTrainingOptions) -> FinalData:
    """Prepares, opens and verifies the dataset.

    Raises `FinalError` if it isn't the dataset that the search saw.
    """
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


def run(options: FinalTrainingOptions) -> Path:
    """Checks everything that can be checked before the first step, then trains; returns the folder.

    The first training has the configuration's seed. Each repeat has the next seed, and a folder of
    its own inside. Finished repeats stay as they are. Raises one of `REFUSALS`, `ConfigError`, or
    `OSError`.
    """
    chosen = read_best(options.config)
    best = replace(chosen, config=_apply_options(chosen, options))
    out = options.out or options.config.parent / "final"
    planned = _plan_repeats(best, out, options)
    pretrained.check(best.config, check_network(best.config))
    data = _open_data(best, options)
    if best.config.class_weighting > 0:
        print(
            "note: class_weighting follows the recall of training images here, as there is no "
            "val; while the network learns them by heart, it fades."
        )
    prepare_process(options.threads)
    for each, folder in planned:
        if options.repeats > 1:
            print(f"{folder}: seed {each.config.seed}")
        record = train_final_model(each, data, folder, default_device())
        print(
            f"test top-1 {record.test_top1:.2%}  top-5 {record.test_top5:.2%}  "
            f"({record.test_images:,} images, opened once)\n{folder / MODEL}\n{folder / RECORD}"
        )
    return out


def _plan_repeats(
    best: BestConfig, out: Path, options: FinalTrainingOptions
) -> list[tuple[BestConfig, Path]]:
    """Returns each repeat that is to be trained, with its folder.

    Raises `FinalError` if there is none.
    """
    planned = []
    for number in range(1, options.repeats + 1):
        config = best.config.but(seed=best.config.seed + number - 1)
        folder = out if number == 1 else out / f"repeat-{number}"
        if options.overwrite or not _is_finished(folder):
            planned.append((replace(best, config=config), folder))
        elif read_record(folder / RECORD).config != config.to_dict():
            raise FinalError(
                f"--out must hold no finished training of another configuration, but "
                f"{folder / RECORD} is one: choose another --out, or pass --overwrite."
            )
    if not planned:
        raise FinalError(
            f"--out must hold no finished training, but {out / RECORD} exists: choose another "
            "--out, train more seeds with a larger --repeats, or pass --overwrite."
        )
    return planned


def _is_finished(folder: Path) -> bool:
    """Returns whether the folder holds a final training that has ended."""
    return (folder / RECORD).exists() and not (folder / CHECKPOINT).exists()
