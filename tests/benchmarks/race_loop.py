"""Whether the documented pattern's training loop is a fair rival: its speed against a bare loop.

Both train the baseline's network, in float32, in as many processes at once as the race has trials.
The bare loop has its images in memory as one tensor and augments nothing; the pattern's loop reads
JPEGs through its `DataLoader`. The race uses the fastest of the settings tried here.
"""

import itertools
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from tests.benchmarks.measure import CORES
from tests.benchmarks.plain_training import Settings

SETTINGS = tuple({"threads": t, "workers": w} for t, w in ((1, 0), (1, 1)))
FAIR = 0.8
ROUNDS = 2
WARM_STEPS = 3


def compare(config: dict[str, Any], root: str, steps: int) -> dict[str, Any]:
    """Images a second of each loop, the best of a few rounds in turn, and the settings to use."""
    bare: list[float] = []
    plain: dict[str, list[float]] = {str(each): [] for each in SETTINGS}
    for _ in range(ROUNDS):
        bare.append(_at_once(bare_loop, config, root, steps, SETTINGS[0]))
        for each in SETTINGS:
            plain[str(each)].append(_at_once(plain_loop, config, root, steps, each))
    best = max(SETTINGS, key=lambda each: max(plain[str(each)]))
    ratio = max(plain[str(best)]) / max(bare)
    return {"loop": best, "bare_images_per_s": bare, "images_per_s": plain, "ratio": ratio,
            "fair": ratio >= FAIR}  # fmt: skip


def _at_once(run: Any, config: dict[str, Any], root: str, steps: int, how: dict[str, int]) -> float:
    """The sum of what `CORES` processes reach side by side."""
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        speeds = [pool.submit(run, config, root, steps, how) for _ in range(CORES)]
        return sum(speed.result() for speed in speeds)


def _settings(root: str, how: dict[str, int]) -> Settings:
    return Settings(root=root, mean=(0.5,) * 3, std=(0.25,) * 3, **how)


def plain_loop(config: dict[str, Any], root: str, steps: int, how: dict[str, int]) -> float:
    """Of the pattern's own training: its second epoch, when the loader's workers are there."""
    import torch

    from tests.benchmarks.plain_training import train

    torch.set_num_threads(how["threads"])
    epochs = 2
    reports = list(train(config | {"epochs": epochs, "seed": 0}, _settings(root, how)))
    timed = reports[1:]
    return float(sum(r["images"] for r in timed) / sum(r["train_s"] for r in timed))


def bare_loop(config: dict[str, Any], root: str, steps: int, how: dict[str, int]) -> float:
    """The same steps on batches that lie in memory."""
    import torch

    from tests.benchmarks.plain_training import build, loaders, optimizing, resized

    torch.set_num_threads(how["threads"])
    torch.manual_seed(0)
    loader, _, num_classes = loaders(config, _settings(root, how | {"workers": 0}))
    batches = list(itertools.islice(loader, 8))
    net = build(config, num_classes)
    opt, schedule = optimizing(config, net, 10_000)
    loss_fn = torch.nn.CrossEntropyLoss()
    net.train()
    images, began = 0, time.perf_counter()
    for step, (batch, labels) in enumerate(itertools.islice(itertools.cycle(batches), steps)):
        if step == WARM_STEPS:
            images, began = 0, time.perf_counter()
        loss = loss_fn(net(resized(batch, config["image_size"])), labels)
        opt.zero_grad()
        loss.backward()
        opt.step()
        schedule.step()
        images += len(batch)
    return images / (time.perf_counter() - began)
