"""The limit to come near: the same training in a bare loop, without any framework.

Trains the configurations it is given one after the other, in as many processes as asked for,
forked after torch is imported, each with its share of them. The images of
`ROOT/{train,val}/CLASS/*` are decoded to memory once a process, inside the measured time.
Everything that a flag makes faster is on: a fused optimizer, channels_last, inference mode.
Prints one JSON line: trials, epochs, images trained, best val_top1.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad
from torchvision.transforms import v2

MEAN = torch.tensor([0.480, 0.448, 0.397]).view(1, 3, 1, 1) * 255
STD = torch.tensor([0.277, 0.269, 0.282]).view(1, 3, 1, 1) * 255
SHIFT = 4
EVALUATION_BATCH = 250


def decode(folder: Path) -> tuple[Tensor, Tensor]:
    """uint8 (N, 3, 64, 64) and int64 (N,)."""
    found = torchvision.datasets.ImageFolder(str(folder), v2.PILToTensor())
    images, labels = zip(*found, strict=True)
    return torch.stack(images), torch.tensor(labels)


def normalise(pixels: Tensor) -> Tensor:
    return ((pixels - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def augment(pixels: Tensor, cutout: int) -> Tensor:
    """Flip, shift by up to 4 pixels, normalise, cut a square out."""
    count, _, height, width = pixels.shape
    flipped = torch.where(torch.rand(count, 1, 1, 1) < 0.5, pixels, pixels.flip(-1))
    wide = pad(flipped, (SHIFT, SHIFT, SHIFT, SHIFT))
    corners = torch.randint(0, 2 * SHIFT + 1, (count, 2)).tolist()
    shifted = [wide[i, :, r : r + height, c : c + width] for i, (r, c) in enumerate(corners)]
    batch = normalise(torch.stack(shifted))
    if cutout:
        for i, (r, c) in enumerate(torch.randint(0, height - cutout + 1, (count, 2)).tolist()):
            batch[i, :, r : r + cutout, c : c + cutout] = 0
    return batch


def build(classes: int, dropout: float) -> nn.Module:
    network: nn.Module = torchvision.models.resnet18(weights=None)
    network.fc = nn.Sequential(nn.Dropout(dropout), nn.Linear(512, classes))
    network.to(memory_format=torch.channels_last)
    return network


def train(
    config: dict[str, Any],
    data: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    epochs: int,
    autocast: torch.autocast,
) -> tuple[int, float]:
    """(images trained, accuracy on the held-out images at the end)."""
    torch.manual_seed(0)
    (images, labels), classes, batch_size = data, int(data[1].max()) + 1, config["batch_size"]
    network = build(classes, config["dropout"])
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config["lr"], weight_decay=1e-4, fused=True
    )
    steps = len(images) // batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    mixup = v2.MixUp(alpha=config["mixup_alpha"] or 1.0, num_classes=classes)
    top1 = 0.0
    for _ in range(epochs):
        network.train()
        for indices in torch.randperm(len(images))[: steps * batch_size].view(steps, -1):
            batch, targets = augment(images[indices], config["cutout"]), labels[indices]
            if config["mixup_alpha"]:
                batch, targets = mixup(batch, targets)
            with autocast:
                logits = network(batch)
            loss = cross_entropy(logits.float(), targets, label_smoothing=config["label_smoothing"])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        top1 = evaluate(network, *held_out, autocast)
    return epochs * steps * batch_size, top1


@torch.inference_mode()
def evaluate(network: nn.Module, images: Tensor, labels: Tensor, autocast: torch.autocast) -> float:
    network.eval()
    right = torch.zeros((), dtype=torch.int64)
    for first in range(0, len(images), EVALUATION_BATCH):
        part = slice(first, first + EVALUATION_BATCH)
        with autocast:
            logits = network(normalise(images[part]))
        right += (logits.argmax(1) == labels[part]).sum()
    return right.item() / len(images)


def work(task: dict[str, Any]) -> list[tuple[int, float]]:
    """One process's share, one configuration after the other."""
    torch.set_num_threads(task["threads"])
    enabled = task["precision"] == "bfloat16"
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled)
    root = Path(task["root"])
    data, held_out = decode(root / "train"), decode(root / "val")
    return [train(c, data, held_out, task["epochs"], autocast) for c in task["configs"]]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.bare_loop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", required=True)
    parser.add_argument("--configs", required=True, type=Path)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--concurrent", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    configs = json.loads(options.configs.read_text(encoding="utf-8"))
    tasks = [
        {**vars(options), "configs": configs[first :: options.concurrent]}
        for first in range(options.concurrent)
    ]
    with ProcessPoolExecutor(options.concurrent, mp_context=get_context("fork")) as pool:
        trained = [result for share in pool.map(work, tasks) for result in share]
    print(
        json.dumps(
            {
                "trials": len(trained),
                "epochs": len(trained) * options.epochs,
                "images": sum(images for images, _ in trained),
                "best_val_top1": max(top1 for _, top1 in trained),
            }
        )
    )


if __name__ == "__main__":
    main()
