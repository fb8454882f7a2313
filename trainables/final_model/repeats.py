"""Plans the repeats of a final training, trains what is left of them, and writes their pages."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

from common.cli import quote
from common.files import find_unwritable, remove_leftovers
from common.signals import has_received, hold
from datasets.splits import FinalData
from results.analysis.final_run import RECORD, describe_choice, read_record
from results.final import CARD, PAGE, write_pages
from trainables.config import TrialConfig
from trainables.final_model.best_config import BestConfig, read_best
from trainables.final_model.description import MODEL
from trainables.final_model.training import CHECKPOINT, FinalError, train_final_model
from trainables.final_model.training_data import describe_origin, open_data
from trainables.models import pretrained
from trainables.models.network import check as check_network
from trainables.models.setup import HALF_TYPES, computes, default_device
from trainables.training.epoch import PauseError
from trainables.training.process import prepare_process


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalTrainingOptions:
    """These are the options of the command line.

    `None` stands for what best.yaml states, or for the default that the help text names.

    time_budget: after so many seconds, the training pauses.
    """

    config: Path
    data: Path
    source: Path | None
    out: Path | None
    epochs: int | None
    weights: str | None
    precision: str | None
    seed: int | None
    deterministic: bool
    repeats: int
    threads: int
    time_budget: float | None
    overwrite: bool
    dataset: str | None = None
    accept_dataset: bool = False


def _apply_options(best: BestConfig, options: FinalTrainingOptions) -> TrialConfig:
    """Returns the configuration with the values that the command line changes.

    Raises `FinalError` where a file from elsewhere names a file of weights that the command line
    doesn't name, and where a CPU would train in a precision that it only emulates.
    """
    config = best.config
    precision = options.precision or config.precision
    device = default_device()
    if device.type == "cpu" and precision in HALF_TYPES and not computes(precision, device):
        slower = 90 if precision == "float16" else 10
        raise FinalError(
            f"--precision must be float32 on a CPU that only emulates {precision}, and trains "
            f"{slower} times slower in it, but this training's is {precision}; add `--precision "
            "float32` to the same command, or train on a GPU."
        )
    if not (best.own or options.weights or config.weights in ("none", "imagenet")):
        raise FinalError(
            "--weights must name the file of weights too where --config isn't signed with your "
            f"key, but {options.config} alone names it; if you trust it, add "
            f"`{quote(f'--weights={config.weights}')}` to the same command."
        )
    changes = {
        "epochs": options.epochs,
        "weights": options.weights,
        "precision": options.precision,
        "seed": options.seed,
        "deterministic": options.deterministic or None,
    }
    return config.but(**{name: value for name, value in changes.items() if value is not None})


def run(options: FinalTrainingOptions) -> None:
    """Checks everything that can be checked before the first step, then trains, and writes the
    pages.

    The first training has the configuration's seed. Each repeat has the next seed, and a folder of
    its own inside. Finished repeats stay as they are; where all are finished and only the pages
    are missing, these are written. Raises one of `REFUSALS`, `ConfigError`, or `OSError`, and
    `PauseError` where the time budget is over or a signal has arrived.
    """
    began = time.monotonic()
    chosen = read_best(options.config)
    config, dataset = _apply_options(chosen, options), options.dataset or chosen.dataset
    best = replace(chosen, config=config, dataset=dataset)
    out = options.out or options.config.parent / "final"
    if place := find_unwritable(out):
        raise FinalError(
            f"--out must be writable, but {place} isn't; make it writable, or choose another "
            "folder with --out."
        )
    planned = _plan_repeats(best, out, options)
    if planned:
        if best.config.epochs > chosen.config.epochs:
            print(
                f"note: the configuration was chosen in trainings of {chosen.config.epochs} "
                f"epochs; in {best.config.epochs}, a network overfits more, and more "
                f"regularisation may be better: a search with --epochs {best.config.epochs} "
                "finds out."
            )
        _train_all(planned, best, out, options, began)
    else:
        remove_leftovers(out)
        write_pages(out)
    print(*(out / name for name in (PAGE, CARD)), sep="\n")


def _train_all(
    planned: list[tuple[BestConfig, Path]],
    best: BestConfig,
    out: Path,
    options: FinalTrainingOptions,
    began: float,
) -> None:
    """Trains each planned repeat, and writes the pages after each of them.

    began: when the command began, on the clock of `time.monotonic`.
    """
    pretrained.check(best.config, check_network(best.config))
    accept = options.accept_dataset
    data = open_data(best, options.data, options.source, options.config, accept=accept)
    _check_finished(planned, out, options, data)
    if note := describe_choice(describe_origin(best, data.images)):
        print(f"note: {note}")
    if best.config.class_weighting > 0:
        print(
            "note: class_weighting follows the recall of training images here, as there is no "
            "val; while the network learns them by heart, it fades."
        )
    prepare_process(options.threads)
    ends = math.inf if options.time_budget is None else began + options.time_budget

    def stop() -> bool:
        return has_received() or time.monotonic() >= ends

    # A signal is answered after the present step, and not while test is open.
    with hold():
        for each, folder in planned:
            if folder != planned[0][1] and stop():
                raise PauseError(f"The training in {folder} hasn't begun")
            if options.repeats > 1:
                print(f"{folder}: seed {each.config.seed}")
            try:
                record = train_final_model(each, data, folder, default_device(), stop)
            except PauseError as pause:
                raise PauseError(f"The training in {folder} {pause}") from pause
            write_pages(out)
            print(
                f"test top-1 {record.test_top1:.2%}  top-5 {record.test_top5:.2%}  "
                f"({record.test_images:,} images, opened once)\n{folder / MODEL}\n{folder / RECORD}"
            )


def _plan_repeats(
    best: BestConfig, out: Path, options: FinalTrainingOptions
) -> list[tuple[BestConfig, Path]]:
    """Returns each repeat that is to be trained, with its folder.

    Raises `FinalError` if there is none and the pages are there too.
    """
    planned, records = [], []
    for number in range(1, options.repeats + 1):
        config = best.config.but(seed=best.config.seed + number - 1)
        folder = _folder(out, number)
        if options.overwrite or not _is_finished(folder):
            planned.append((replace(best, config=config), folder))
        elif read_record(folder / RECORD).config != config.to_dict():
            raise FinalError(
                f"--out must hold no finished training of another configuration, but "
                f"{folder / RECORD} is one: choose another --out, or pass --overwrite."
            )
        else:
            records.append(folder / RECORD)
    if not planned and not _newer_than_pages(out, records):
        raise FinalError(
            f"--out must hold no finished training, but {out / RECORD} exists: choose another "
            "--out, train more seeds with a larger --repeats, or pass --overwrite."
        )
    return planned


def _check_finished(
    planned: list[tuple[BestConfig, Path]],
    out: Path,
    options: FinalTrainingOptions,
    data: FinalData,
) -> None:
    """Raises `FinalError` where a repeat that isn't planned has ended on other images, with which
    the planned ones can't have a mean.
    """
    todo = {folder for _, folder in planned}
    for folder in (_folder(out, number) for number in range(1, options.repeats + 1)):
        if folder in todo:
            continue
        seen = read_record(folder / RECORD).provenance.get("dataset_fingerprint")
        if seen not in (None, data.images.fingerprint):
            raise FinalError(
                f"--out must hold no finished training on other images, but {folder / RECORD} is "
                "one: choose another --out, or pass --overwrite."
            )


def _folder(out: Path, number: int) -> Path:
    """Returns the folder of a repeat, counted from 1."""
    return out if number == 1 else out / f"repeat-{number}"


def _newer_than_pages(out: Path, records: list[Path]) -> bool:
    """Returns whether a page is missing, or is older than a record that it should show."""
    try:
        written = min((out / name).stat().st_mtime_ns for name in (PAGE, CARD))
    except FileNotFoundError:
        return True
    return any(record.stat().st_mtime_ns > written for record in records)


def _is_finished(folder: Path) -> bool:
    """Returns whether the folder holds a final training that has ended."""
    return (folder / RECORD).exists() and not (folder / CHECKPOINT).exists()
