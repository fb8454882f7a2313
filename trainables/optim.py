"""The optimizer, and the learning rate as a plain function of the step."""

import math

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from trainables.config import TrialConfig


def make_optimizer(network: nn.Module, config: TrialConfig) -> Optimizer:
    """The optimizer over the parameters that train; `lr_at` sets its learning rate.

    Only weights with two or more dimensions decay: BatchNorm's and biases don't.
    Fused kernels: one step of a ResNet-18 on one Zen 4 thread takes 16 ms with Adam and AdamW
    (38 and 22 unfused), 12.5 ms with SGD (12.3).
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    if config.optimizer == "adam":
        return Adam(groups, lr=config.lr, fused=True)
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.lr, fused=True)
    return SGD(groups, lr=config.lr, momentum=config.momentum or 0.0, fused=True)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def lr_at(config: TrialConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a training's step `step`, counted from 0 over all its epochs.

    Warm-up rises in equal steps from 0 to `lr`, which its last step stays one short of; the
    schedule is laid out over what remains of `config.epochs`.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    done, horizon = step - warmup, config.epochs * steps_per_epoch - warmup
    match config.schedule:
        case "cosine":
            return _cosine(config.lr, 0.0, done / horizon)
        case "step":
            drops = done // (config.step_epochs * steps_per_epoch)
            return config.lr * config.step_factor**drops
        case "cyclical":
            return _triangles(config.lr, (config.cycles or 1) * done / horizon)
        case "one-cycle":
            return _one_cycle(config.lr, done, horizon)
        case _:
            return config.lr


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _triangles(peak: float, cycles_done: float) -> float:
    """`torch.optim.lr_scheduler.CyclicLR` from a tenth of `peak`, in closed form (Smith 2017)."""
    height = 1 - abs(2 * (cycles_done % 1) - 1)
    return peak / 10 + (peak - peak / 10) * height


def _one_cycle(peak: float, step: int, steps: int) -> float:
    """`torch.optim.lr_scheduler.OneCycleLR` with its defaults, in closed form."""
    first, last = peak / 25, peak / 25 / 1e4
    top = 0.3 * steps - 1
    if step <= top:
        return _cosine(first, peak, step / top)
    return _cosine(peak, last, (step - top) / (steps - 1 - top))
