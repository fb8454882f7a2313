"""The optimizer, and the learning rate as a plain function of the step."""

import math
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from trainables.config import TrialConfig


def make_optimizer(network: nn.Module, config: TrialConfig) -> Optimizer:
    """The optimizer over the parameters that train; `lr_at` sets its learning rate.

    Only weights with two or more dimensions decay: BatchNorm's and biases don't.
    Fused kernels: one step of a ResNet-18 on one Zen 4 thread takes 16 ms with Adam and AdamW
    (38 and 22 unfused), 12.5 ms with SGD (12.3).

    After a step the gradients of channels_last weights on a CPU are gone, see `_rearranged`.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    held = {p: _rearranged(p) if _is_rearranged(p) else p for p in trained}
    weights = [p for p in trained if p.ndim >= 2]
    groups = [
        {"params": [held[p] for p in weights], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = _optimizer(groups, config)
    views = [(p, view) for p, view in held.items() if view is not p]
    optimizer.register_step_pre_hook(partial(_lend_gradients, views))
    optimizer.register_step_post_hook(partial(_drop_gradients, views))
    places = [place for place, p in enumerate(weights) if held[p] is not p]
    optimizer.register_state_dict_post_hook(partial(_permuted, places, (0, 3, 1, 2)))
    optimizer.register_load_state_dict_pre_hook(partial(_permuted, places, (0, 2, 3, 1)))
    return optimizer


def _optimizer(groups: list[dict[str, Any]], config: TrialConfig) -> Optimizer:
    if config.optimizer == "adam":
        return Adam(groups, lr=config.lr, fused=True)
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.lr, fused=True)
    return SGD(groups, lr=config.lr, momentum=config.counted("momentum"), fused=True)


Views = list[tuple[nn.Parameter, nn.Parameter]]
"""Weights, and the same memory as `_rearranged` sees it."""


def _is_rearranged(weight: nn.Parameter) -> bool:
    channels_last = weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return weight.device.type == "cpu" and channels_last and not weight.is_contiguous()


def _rearranged(weight: nn.Parameter) -> nn.Parameter:
    """A channels_last weight (O, I, H, W) as (O, H, W, I), in the order of its memory.

    torch's fused kernels on the CPU copy every gradient that isn't contiguous in the order of
    its dimensions, for nothing: 10 of the 17 ms that AdamW's step of a ResNet-18 takes.
    """
    return nn.Parameter(weight.detach().permute(0, 2, 3, 1))


def _lend_gradients(views: Views, *_: object) -> None:
    for weight, view in views:
        view.data = weight.detach().permute(0, 2, 3, 1)  # wherever the weight is now
        view.grad = None if weight.grad is None else weight.grad.permute(0, 2, 3, 1)


def _drop_gradients(views: Views, *_: object) -> None:
    """As `zero_grad` does with those that the optimizer knows."""
    for weight, _view in views:
        weight.grad = None


def _permuted(
    places: list[int], order: tuple[int, ...], _: Optimizer, state_dict: dict[str, Any]
) -> dict[str, Any]:
    """A state dict in which the momenta at `places` have their dimensions in another order.

    Saved ones have their weights' shapes, so that a GPU can go on from what a CPU saved.
    """
    state = dict(state_dict["state"])
    for place in state.keys() & places:
        state[place] = {
            name: value.permute(order).contiguous(memory_format=_format(order))
            if isinstance(value, torch.Tensor) and value.ndim == len(order)
            else value
            for name, value in state[place].items()
        }
    return state_dict | {"state": state}


def _format(order: tuple[int, ...]) -> torch.memory_format:
    """Nothing moves: channels_last as a weight (O, I, H, W) is contiguous as (O, H, W, I)."""
    return torch.channels_last if order[1] == 3 else torch.contiguous_format


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
            drops = done // (config.counted("step_epochs") * steps_per_epoch)
            return float(config.lr * config.counted("step_factor") ** drops)
        case "cyclical":
            return _triangles(config.lr, config.counted("cycles") * done / horizon)
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
