"""Which number of few val images chooses better: accuracy, or a mean of calibrated probabilities?

Linear heads on what a pretrained network says of real images, each of a random configuration, are
recorded epoch by epoch: each number on many small sets of val images, and the accuracy on thousands
of images that nobody chooses by. Searches of these recordings see one number on one small set. What
they hand over is judged on the other images: the points that the best head has more. The numbers
are compared in pairs, with the same heads, images and seeds.

Recordings and searches are on disk as soon as they are done, and a benchmark that was interrupted
goes on. With the demo images the figures say little.

    python -m tests.benchmarks.bench_choice --source ZIP --rounds 100
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from results.jsonl import read_lines
from results.published.regret_statistics import describe_mean
from search.hardware.machine import detect_machine
from search.session.provenance import provenance
from search.simulation.recorded_curves import Curves, read_curves
from search.simulation.simulator import RegretScale
from tests.benchmarks import measure
from tests.benchmarks.bench_val_images import NAMES as POLICY_NAMES
from tests.benchmarks.bench_val_images import handed_over
from tests.benchmarks.workload import Size, Workload
from trainables.config import TrialConfig
from trainables.models.setup import default_device, new_network
from trainables.training.batches import BatchFeeder
from trainables.training.evaluate import calibrated_probabilities
from trainables.training.process import prepare_process

NUMBERS = ("accuracy", "arithmetic", "root", "geometric")
"""Accuracy, and three means of the right classes' calibrated probabilities: the arithmetic one, the
square of the mean root, and the geometric one, which the loss is the logarithm of.
"""
IMAGES = (60, 120, 300, 800)
"""Sizes of the small sets that a search sees."""

VAL = 2_400
"""Images that the small sets are parts of; each size divides them."""

EPOCHS, WORKERS, FIRST_SEED = 10, 2, 1_100
NAMES = ("lr", "weight_decay", "dropout", "label_smoothing", "mixup_alpha", "batch_size")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How much is done: heads, images that they train on, a search's full trainings."""

    heads: int
    train: int
    val: int
    budget: int


WHOLE = Scale(heads=300, train=3_000, val=VAL, budget=20)
QUICK = Scale(heads=6, train=200, val=VAL // 4, budget=3)


def outputs(workload: Workload, config: TrialConfig) -> tuple[Tensor, Tensor]:
    """What the network's head is given for each clean training image, and the labels: float32
    (n, width), with the mean deviation 1, and int64 (n,).
    """
    from trainables.augmentation.batch import for_evaluation

    data, device = workload.search_data(), default_device()
    network = new_network(config, len(data.images.class_ids), device).eval()
    head = [each for each in network.modules() if isinstance(each, nn.Linear)][-1]
    found: list[Tensor] = []
    head.register_forward_pre_hook(lambda _, given: found.append(given[0].float().cpu()))
    split = replace(
        data.train, indices=np.union1d(data.train.indices, data.val.indices), name="all"
    )
    labels = []
    with torch.inference_mode():
        feeder = BatchFeeder(device=device, resident=False)
        for pixels, own in feeder.batches(split, 100, order_seed=None, drop_last=False):
            batch = for_evaluation(pixels, config, data.images)
            network.classify(network.frozen_features(batch))
            labels.append(own.cpu())
    seen = torch.cat(found)
    return (seen - seen.mean(0)) / seen.std(0).mean(), torch.cat(labels)


def draw(rng: np.random.Generator) -> dict[str, float]:
    """A head's random configuration."""
    return {
        "lr": float(10 ** rng.uniform(-4.0, -1.8)),
        "weight_decay": float(rng.choice([0.0, 1e-2, 1e-1, 5e-1])),
        "dropout": float(rng.choice([0.0, 0.2, 0.4, 0.6])),
        "label_smoothing": float(rng.choice([0.0, 0.05, 0.1, 0.15, 0.2])),
        "mixup_alpha": float(rng.choice([0.0, 0.1, 0.2, 0.4, 0.8])),
        "batch_size": float(rng.choice([32, 64, 128])),
    }


def train_head(
    config: dict[str, float], x: Tensor, y: Tensor, classes: int, seed: int
) -> Iterator[nn.Module]:
    """Trains a linear head with AdamW and a cosine schedule; yields it after each epoch."""
    torch.manual_seed(seed)
    rng, batch = np.random.default_rng(seed), int(config["batch_size"])
    drop = nn.Dropout(config["dropout"])
    head = nn.Sequential(drop, nn.Linear(x.shape[1], classes))
    optimizer = torch.optim.AdamW(
        head.parameters(), lr=config["lr"], weight_decay=config["weight_decay"]
    )
    steps = len(x) // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)
    loss = nn.CrossEntropyLoss(label_smoothing=config["label_smoothing"])
    target = nn.functional.one_hot(y, classes).float()
    for _ in range(EPOCHS):
        head.train()
        for chosen in torch.split(torch.randperm(len(x))[: steps * batch], batch):
            inputs, wanted = x[chosen], target[chosen]
            if config["mixup_alpha"]:
                share = float(rng.beta(config["mixup_alpha"], config["mixup_alpha"]))
                other = torch.randperm(batch)
                inputs = share * inputs + (1 - share) * inputs[other]
                wanted = share * wanted + (1 - share) * wanted[other]
            optimizer.zero_grad()
            loss(head(inputs), wanted).backward()
            optimizer.step()
            schedule.step()
        yield head.eval()


def record(x: Tensor, y: Tensor, scale: Scale, path: Path) -> None:
    """Writes a line a head, where it lacks one: its configuration, after each epoch the accuracy on
    the images left over, and the numbers of each small set of val images.
    """
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    train, val = order[: scale.train], order[scale.train : scale.train + scale.val]
    far, classes = order[scale.train + scale.val :], int(y.max()) + 1
    done = {line["head"] for line in read_lines(path)} if path.exists() else set()
    with path.open("a", encoding="utf-8") as file:
        for number in range(scale.heads):
            if number in done:
                continue
            config = draw(np.random.default_rng([number, 5]))
            line: dict[str, Any] = {"head": number, "config": config, "exact": [], "seen": []}
            for head in train_head(config, x[train], y[train], classes, number):
                with torch.inference_mode():
                    logits, right = head(x[val]), head(x[far]).argmax(1) == y[far]
                line["exact"].append(float(right.double().mean()))
                line["seen"].append(
                    {n: _numbers(logits, y[val], n) for n in IMAGES if n <= scale.val}
                )
            print(json.dumps(line), file=file, flush=True)


def _numbers(logits: Tensor, labels: Tensor, size: int) -> list[list[float]]:
    """The numbers of each part of so many images: one list for each of `NUMBERS`."""
    parts = list(zip(torch.split(logits, size), torch.split(labels, size), strict=True))
    found = []
    for each, own in parts:
        probability = calibrated_probabilities(each, own).double()
        found.append(
            (
                float((each.argmax(1) == own).double().mean()),
                float(probability.mean()),
                float(probability.sqrt().mean() ** 2),
                float(probability.clamp_min(1e-30).log().mean().exp()),
            )
        )
    return [[round(value, 5) for value in values] for values in zip(*found, strict=True)]


def table(lines: Sequence[dict[str, Any]], folder: Path) -> Curves:
    """The recorded heads with their exact accuracies."""
    path = folder / "heads.npz"
    np.savez(
        path,
        configs=np.array([[line["config"][name] for name in NAMES] for line in lines]),
        names=np.array(NAMES),
        val_accuracy=100 * np.array([line["exact"] for line in lines]),
        wall_s=np.full(len(lines), float(EPOCHS)),
    )
    return read_curves(path)


def shown(
    exact: Curves, lines: Sequence[dict[str, Any]], images: int, number: str, seed: int
) -> Curves:
    """The heads as one small set of val images shows them by one of the numbers."""
    own = [[at[str(images)][NUMBERS.index(number)] for at in line["seen"]] for line in lines]
    sets = np.array(own)
    return replace(exact, val=sets[:, :, seed % sets.shape[2]])


def search(exact: Curves, seen: Curves, policy_name: str, seed: int, budget: int) -> list[float]:
    """One search of what is seen, and how many points the best head has more than what it hands
    over after a quarter, half and all of its budget.
    """
    scale = RegretScale.of(exact)
    chosen = handed_over(seen, policy_name, seed, budget, WORKERS)
    return [round(100 * float(scale.best - scale.final[each.row]), 3) for each in chosen]


def describe(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A row for each number of images, policy and number: the points below the best head at the end
    of the budget, and how many more than by accuracy, with 95 % intervals over the seeds.
    """
    yield "| val images | policy | by | searches | points below the best | against accuracy |"
    yield "|---|---|---|---|---|---|"
    ends = {
        (line["images"], line["policy"], line["number"], line["seed"]): line["points"][-1] / 100
        for line in lines
    }
    seeds = sorted({seed for *_, seed in ends})
    for images, policy in product(IMAGES, POLICY_NAMES):
        whole = [s for s in seeds if all((images, policy, n, s) in ends for n in NUMBERS)]
        if not whole:
            continue
        found = {n: np.array([[ends[images, policy, n, s] for s in whole]]) for n in NUMBERS}
        for number, points in found.items():
            less = describe_mean(points - found["accuracy"], "+.2f") if number != "accuracy" else ""
            cells = [str(images), policy, number, str(len(whole)), describe_mean(points, ".2f")]
            yield f"| {' | '.join([*cells, less or '–'])} |"


def benchmark(arguments: list[str] | None = None) -> None:
    """Records the heads, makes every search that the file lacks, and prints the table."""
    parser = measure.parser("choice", __doc__)
    options = measure.parse(parser, arguments)
    scale = QUICK if options.quick else WHOLE
    out = options.out.with_suffix(".jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    stem = options.source.stem if options.source else "demo"
    heads = measure.TRIED / f"{out.stem}-{stem}-{scale.heads}.jsonl"
    heads.parent.mkdir(parents=True, exist_ok=True)
    prepare_process(1)
    with tempfile.TemporaryDirectory(prefix="choice-") as made:
        workload = Workload(options.source, Path(made), Size(classes=None, images=sys.maxsize))
        weights = "none" if options.quick else "imagenet"
        config = TrialConfig(
            network="efficientnet_lite0", weights=weights, image_size=128, precision="float32"
        )
        record(*outputs(workload, config), scale, heads)
        recorded = list(read_lines(heads))
        exact = table(recorded, Path(made))
    if not out.exists():
        about = provenance(detect_machine(), measure.command("choice"))
        out.write_text(json.dumps({"about": about}) + "\n", encoding="utf-8")
    lines = [each for each in read_lines(out) if "about" not in each]
    done = {(e["images"], e["policy"], e["number"], e["seed"]) for e in lines}
    seeds = range(FIRST_SEED, FIRST_SEED + options.rounds)
    with out.open("a", encoding="utf-8") as file:
        for seed, images, policy, number in product(seeds, IMAGES, POLICY_NAMES, NUMBERS):
            if images > scale.val or (images, policy, number, seed) in done:
                continue
            seen = shown(exact, recorded, images, number, seed)
            points = search(exact, seen, policy, seed, scale.budget)
            lines.append(
                {"images": images, "policy": policy, "number": number, "seed": seed,
                 "points": points}
            )  # fmt: skip
            print(json.dumps(lines[-1]), file=file, flush=True)
    print("\n".join(describe(lines)))


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
