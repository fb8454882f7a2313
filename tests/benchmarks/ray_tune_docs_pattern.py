"""The search a user would write today from Ray Tune's own documentation, as a yardstick.

A function trainable, `torchvision.datasets.ImageFolder` with a `DataLoader`, and Tune's
schedulers: no FFCV, no actor reuse, every trial starts from nothing. It trains the
configurations it is given on a directory tree `ROOT/{train,val}/CLASS/*.JPEG`, and prints one
JSON line: wall seconds of the search, trials, epochs run, images trained, best val_top1.

    python ray_tune_docs_pattern.py --root DIR --configs configs.json --epochs 2 --concurrent 2

`configs.json` is a list of objects with lr, freeze_depth, dropout, label_smoothing,
mixup_alpha, cutout (pixels), batch_size. With --asha E, trials are halved from epoch E on.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
import torch
import torchvision
from plain_training import MiniAlexNet  # beside this script, which runs by its path
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2


def build(model: str, num_classes: int, dropout: float, freeze_depth: int) -> nn.Module:
    if model == "mini_alexnet":
        return MiniAlexNet(num_classes, dropout)
    net: nn.Module = getattr(torchvision.models, model)(weights=None)
    net.fc = nn.Sequential(nn.Dropout(dropout), nn.Linear(net.fc.in_features, num_classes))  # type: ignore[arg-type,union-attr]
    stages = [[net.conv1, net.bn1], [net.layer1], [net.layer2], [net.layer3], [net.layer4]]
    for stage in stages[:freeze_depth]:
        for module in stage:
            for parameter in module.parameters():  # type: ignore[union-attr]
                parameter.requires_grad_(False)
    return net


def loaders(config: dict[str, Any]) -> tuple[Any, Any, int]:
    """Loaders of train and val, and the number of classes."""
    normalize = v2.Normalize((0.480, 0.448, 0.397), (0.277, 0.269, 0.282))
    to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), normalize]
    cut = []
    if config["cutout"]:
        share = (config["cutout"] / 64) ** 2
        cut.append(v2.RandomErasing(p=1.0, scale=(share, share), ratio=(1.0, 1.0)))
    augment = [v2.RandomHorizontalFlip(), v2.RandomCrop(64, padding=4), *to_tensor, *cut]
    folder = torchvision.datasets.ImageFolder
    train_set = folder(os.path.join(config["root"], "train"), v2.Compose(augment))  # noqa: PTH118
    val_set = folder(os.path.join(config["root"], "val"), v2.Compose(to_tensor))  # noqa: PTH118
    workers = {"num_workers": config["workers"], "persistent_workers": config["workers"] > 0,
               "pin_memory": config["device"] == "cuda"}  # fmt: skip
    return (
        DataLoader(train_set, config["batch_size"], shuffle=True, drop_last=True, **workers),
        DataLoader(val_set, 250, **workers),
        len(train_set.class_to_idx),
    )


def train(config: dict[str, Any]) -> None:
    config = {**config, **config["config"]}
    torch.set_num_threads(config["threads"])
    torch.manual_seed(0)
    loader, val_loader, num_classes = loaders(config)
    device = torch.device(config["device"])
    net = build(config["model"], num_classes, config["dropout"], config["freeze_depth"]).to(device)
    alpha = config["mixup_alpha"]
    mixup = v2.MixUp(alpha=alpha, num_classes=num_classes) if alpha else None
    loss_fn = nn.CrossEntropyLoss(label_smoothing=config["label_smoothing"])
    trained = [p for p in net.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(trained, lr=config["lr"], weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, config["epochs"] * len(loader))
    for epoch in range(config["epochs"]):
        net.train()
        images = 0
        for x, y in loader:
            x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
            if mixup:
                x, y = mixup(x, y)
            loss = loss_fn(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            schedule.step()
            images += len(x)
        net.eval()
        correct = 0
        with torch.inference_mode():
            for x, y in val_loader:
                x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
                correct += (net(x).argmax(1) == y).sum().item()
        val_top1 = correct / len(val_loader.dataset)
        tune.report({"epoch": epoch + 1, "val_top1": val_top1, "images": images})


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", required=True)
    parser.add_argument("--configs", required=True)
    models = ["mini_alexnet", "resnet18", "resnet50"]
    parser.add_argument("--model", default="resnet18", choices=models)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--concurrent", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--asha", type=int, default=0)
    parser.add_argument("--gpus", type=float, default=0.0, help="of a trial; 0: on the CPU")
    parser.add_argument(
        "--storage", default=None, help="where Ray writes; a temporary folder if left out"
    )
    return parser.parse_args()


def scheduler(options: argparse.Namespace) -> FIFOScheduler:
    if not options.asha:
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    return ASHAScheduler(
        time_attr="epoch", max_t=options.epochs, grace_period=options.asha, reduction_factor=3
    )


def main() -> None:
    options = parsed()
    started = time.perf_counter()
    ray.init(num_cpus=options.concurrent, include_dashboard=False, logging_level=logging.ERROR)
    configs = json.loads(Path(options.configs).read_text(encoding="utf-8"))
    common = {key: getattr(options, key) for key in ("model", "epochs", "threads", "workers")}
    common["root"] = str(Path(options.root).absolute())
    common["device"] = "cuda" if options.gpus else "cpu"
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1, "gpu": options.gpus}),
        param_space={**common, "config": tune.grid_search(configs)},
        tune_config=tune.TuneConfig(metric="val_top1", mode="max", scheduler=scheduler(options)),
        run_config=tune.RunConfig(
            name=f"y{os.getpid()}", storage_path=options.storage or tempfile.mkdtemp(), verbose=0
        ),
    )
    fitting = time.perf_counter()
    results = tuner.fit()
    ended = time.perf_counter()
    ended_with = [results[number] for number in range(len(results))]
    frames = [r.metrics_dataframe for r in ended_with if r.metrics_dataframe is not None]
    best = results.get_best_result().metrics or {}
    told = {
        "wall_s": round(ended - started, 2),
        "fit_s": round(ended - fitting, 2),
        "trials": len(results),
        "epochs": int(sum(len(f) for f in frames)),
        "images": int(sum(f["images"].sum() for f in frames)),
        "best_val_top1": float(best["val_top1"]),
        "errors": results.num_errors,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
