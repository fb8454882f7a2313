"""Builds the optimizer, and computes the learning rate as a plain function of the step."""

import math
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from trainables.config import TrialConfig


def make_optimizer(network: nn.Module, config: TrialConfig) -> Optimizer:
    """Returns the optimizer over the parameters that train; `set_lr` sets its learning rate.

    On a GPU, the learning rate is a tensor there, so that no number of the host changes from step
    to step, as a CUDA graph needs it (`trainables.training.step_graph`).

    Only weights with two or more dimensions decay: BatchNorm's parameters and biases don't. The
    kernels are fused: a step of a ResNet-18 on one Zen 4 thread takes 16 ms with Adam and AdamW (38
    and 22 unfused), and 12.5 ms with SGD (12.3 unfused).

    After a step, the gradients of channels_last weights on a CPU are `None`, see
    `_memory_order_view`. In float16 there are no such views, because `LossScaler` looks at the
    gradients of the optimizer's own parameters before a step.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    scaled = config.precision == "float16"
    stepped = {p: _memory_order_view(p) if _needs_view(p) and not scaled else p for p in trained}
    weights = [p for p in trained if p.ndim >= 2]
    groups = [
        {"params": [stepped[p] for p in weights], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = _optimizer(groups, config)
    if scaled and config.effective_value("momentum"):
        for group in optimizer.param_groups:
            for p in group["params"]:  # torch leaves this undefined if the first step is skipped
                optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    if (device := trained[0].device).type == "cuda":
        for group in optimizer.param_groups:
            group["lr"] = torch.full((), config.lr, device=device)
    views = [(p, view) for p, view in stepped.items() if view is not p]
    optimizer.register_step_pre_hook(partial(_lend_gradients, views))
    optimizer.register_step_post_hook(partial(_drop_gradients, views))
    places = [place for place, p in enumerate(weights) if stepped[p] is not p]
    optimizer.register_state_dict_post_hook(partial(_permute_momenta, places, (0, 3, 1, 2)))
    optimizer.register_load_state_dict_pre_hook(partial(_permute_momenta, places, (0, 2, 3, 1)))
    optimizer.register_load_state_dict_pre_hook(_keep_own_settings)
    return optimizer


def _optimizer(groups: list[dict[str, Any]], config: TrialConfig) -> Optimizer:
    """Returns torch's optimizer of the configured kind for these groups of parameters."""
    match config.optimizer:
        case "adam":
            return Adam(groups, lr=config.lr, fused=True)
        case "adamw":
            return AdamW(groups, lr=config.lr, fused=True)
        case "sgd":
            momentum = config.effective_value("momentum")
            return SGD(groups, lr=config.lr, momentum=momentum, fused=True)
    raise NotImplementedError(f"optimizer {config.optimizer!r} has no branch here")


Views = list[tuple[nn.Parameter, nn.Parameter]]
"""This list pairs each channels_last weight with the parameter that shares its memory.

The second one of each pair is the result of `_memory_order_view`.
"""


def _needs_view(weight: nn.Parameter) -> bool:
    """Returns whether a weight is on the CPU and has channels_last as its only memory format."""
    channels_last = weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return weight.device.type == "cpu" and channels_last and not weight.is_contiguous()


def _memory_order_view(weight: nn.Parameter) -> nn.Parameter:
    """Returns a channels_last weight (O, I, H, W) as (O, H, W, I), in the order of its memory.

    torch's fused kernels on the CPU copy every gradient that isn't contiguous in the order of its
    dimensions. The copies are useless and take 10 of the 17 ms of AdamW's step of a ResNet-18.
    """
    return nn.Parameter(weight.detach().permute(0, 2, 3, 1))


def _lend_gradients(views: Views, *_: object) -> None:
    """Gives each view its weight's present memory and gradient, before a step."""
    for weight, view in views:
        view.data = weight.detach().permute(0, 2, 3, 1)  # the weight may have moved
        view.grad = None if weight.grad is None else weight.grad.permute(0, 2, 3, 1)


def _drop_gradients(views: Views, *_: object) -> None:
    """Sets the weights' gradients to `None`, as `zero_grad` does with the optimizer's own
    parameters.
    """
    for weight, _view in views:
        weight.grad = None


def _permute_momenta(
    places: list[int], order: tuple[int, ...], _: Optimizer, state_dict: dict[str, Any]
) -> dict[str, Any]:
    """Returns a state dict with the dimensions of the momenta at `places` in another order.

    In a saved state dict, momenta have their weights' shapes, so that a GPU can resume what a CPU
    saved.
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
    """Returns the memory format in which permuted momenta are contiguous, so that nothing moves.

    A weight (O, I, H, W) in channels_last has the same memory as a contiguous (O, H, W, I).
    """
    return torch.channels_last if order[1] == 3 else torch.contiguous_format


def _keep_own_settings(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """Returns a state dict with the settings of `optimizer`, because those of a saved one may be
    for another device.
    """
    pairs = zip(state_dict["param_groups"], optimizer.param_groups, strict=True)
    groups = [own | {"params": saved["params"]} for saved, own in pairs]
    return state_dict | {"param_groups": groups}


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Sets the learning rate of all the optimizer's parameters, without waiting for a GPU."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def lr_at(config: TrialConfig, step: int, steps_per_epoch: int) -> float:
    """Returns the learning rate of a training's step `step`, counted from 0 over all its epochs.

    Warm-up rises in equal steps from 0 towards `lr`, and its last step is one short of `lr`. The
    schedule is laid out over the rest of `config.epochs`.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    done, horizon = step - warmup, config.epochs * steps_per_epoch - warmup
    match config.schedule:
        case "cosine":
            return _cosine(config.lr, 0.0, done / horizon)
        case "step":
            drops = done // (config.effective_value("step_epochs") * steps_per_epoch)
            return float(config.lr * config.effective_value("step_factor") ** drops)
        case "cyclical":
            return _triangles(config.lr, config.effective_value("cycles") * done / horizon)
        case "one-cycle":
            return _one_cycle(config.lr, done, horizon)
        case _:
            return config.lr


def _cosine(start: float, end: float, progress: float) -> float:
    """Returns the value at `progress` (0…1) on half a cosine wave from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _triangles(peak: float, cycles_done: float) -> float:
    """Returns the learning rate of `torch.optim.lr_scheduler.CyclicLR`, in closed form (Smith
    2017).

    The rate rises from a tenth of `peak` to `peak` and falls back, once per cycle.

    cycles_done: number of cycles so far, with a fraction.
    """
    height = 1 - abs(2 * (cycles_done % 1) - 1)
    return peak / 10 + (peak - peak / 10) * height


def _one_cycle(peak: float, step: int, steps: int) -> float:
    """Returns the learning rate of `torch.optim.lr_scheduler.OneCycleLR`, in closed form.

    Everything but `peak` and the number of steps has PyTorch's defaults.
    """
    first, last = peak / 25, peak / 25 / 1e4
    top = 0.3 * steps - 1
    if step <= top:
        return _cosine(first, peak, step / top)
    return _cosine(peak, last, (step - top) / (steps - 1 - top))
