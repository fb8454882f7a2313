"""Learning rates and weight decay by the numbers."""

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, CyclicLR, LRScheduler, OneCycleLR

from trainables.config import OPTIMIZERS, TrialConfig
from trainables.models.network import build, freeze
from trainables.training.optimizer import lr_at, make_optimizer, set_lr

STEPS = 10
CONFIG = TrialConfig(network="resnet10", lr=0.2, epochs=8)


def rates(config: TrialConfig) -> list[float]:
    return [lr_at(config, step, STEPS) for step in range(config.epochs * STEPS)]


def torch_rates(scheduler: type[LRScheduler], steps: int, **arguments: float) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=CONFIG.lr)
    schedule = scheduler(optimizer, **arguments)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if len(found) < steps else None
    return found


def test_constant() -> None:
    assert set(rates(CONFIG.but(schedule="constant"))) == {0.2}


def test_cosine_is_torchs() -> None:
    assert rates(CONFIG) == pytest.approx(torch_rates(CosineAnnealingLR, 80, T_max=80), abs=1e-12)
    assert lr_at(CONFIG, 40, STEPS) == pytest.approx(0.1)


@pytest.mark.parametrize("epochs", [1, 2, 8])
def test_one_cycle_is_torchs(epochs: int) -> None:
    config = CONFIG.but(schedule="one-cycle", epochs=epochs)
    total = epochs * STEPS
    expected = torch_rates(OneCycleLR, total, max_lr=0.2, total_steps=total)
    assert rates(config) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cycles", [None, 1, 3, 8, 80])
def test_cyclical_is_torchs(cycles: int | None) -> None:
    config = CONFIG.but(schedule="cyclical", cycles=cycles)
    half = 40 / (cycles or 1)
    expected = torch_rates(
        CyclicLR, 80, base_lr=0.02, max_lr=0.2, step_size_up=half, cycle_momentum=False
    )
    assert rates(config) == pytest.approx(expected, abs=1e-12)


def test_cyclical_after_warmup() -> None:
    """2 epochs of warm-up, then 2 cycles of 3 epochs: peaks in the middle of each."""
    config = CONFIG.but(schedule="cyclical", cycles=2, warmup_epochs=2)
    found = rates(config)
    assert [found[step] for step in (20, 35, 50, 65)] == pytest.approx([0.02, 0.2, 0.02, 0.2])
    assert found[65:68] == pytest.approx([0.2, 0.188, 0.176])


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_one_cycle_of_very_few_steps(steps: int) -> None:
    config = CONFIG.but(schedule="one-cycle", epochs=1)
    for step in range(steps):
        assert 0 < lr_at(config, step, steps) <= 0.2


def test_step_falls_every_step_epochs() -> None:
    config = CONFIG.but(schedule="step", step_epochs=3, step_factor=0.5)
    assert [lr_at(config, epoch * STEPS, STEPS) for epoch in range(8)] == pytest.approx(
        [0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05]
    )
    assert lr_at(config, 29, STEPS) == pytest.approx(0.2)


def test_warmup_rises_in_equal_steps_and_then_the_schedule_begins() -> None:
    config = CONFIG.but(warmup_epochs=1.5)
    warm = rates(config)
    assert warm[:16] == pytest.approx([0.2 * (step + 1) / 16 for step in range(16)])
    assert warm[15:] == pytest.approx(
        [0.1 * (1 + math.cos(math.pi * step / 65)) for step in range(65)]
    )


def test_warmup_may_take_the_whole_training() -> None:
    config = CONFIG.but(warmup_epochs=8)
    assert rates(config) == pytest.approx([0.2 * (step + 1) / 81 for step in range(80)])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_only_weights_with_two_dimensions_decay(optimizer: str) -> None:
    """With zero gradients, whatever moves was moved by weight decay."""
    config = CONFIG.but(optimizer=optimizer, weight_decay=0.1)
    network = build(config, num_classes=5)
    nn.init.ones_(network.head.fc.bias)
    freeze(network, 3)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    make_optimizer(network, config).step()
    moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    frozen = ("stages.stem.", "stages.layer1.", "stages.layer2.")
    assert moved == {n for n, p in before.items() if p.ndim >= 2 and not n.startswith(frozen)}


def test_sgd_keeps_momentum() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    optimizer = make_optimizer(network, CONFIG.but(optimizer="sgd", momentum=0.9))
    set_lr(optimizer, 0.1)
    for expected in (-0.1, -0.1 - 0.19, -0.1 - 0.19 - 0.271):
        network.weight.grad = torch.ones_like(network.weight)
        optimizer.step()
        assert network.weight.item() == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_channels_last_weights_move_as_torchs_plain_optimizer_moves_them(optimizer: str) -> None:
    config = CONFIG.but(optimizer=optimizer, lr=0.01, weight_decay=0.1)
    torch.manual_seed(0)
    ours, theirs = (
        nn.Conv2d(3, 8, 3, bias=False).to(memory_format=torch.channels_last) for _ in range(2)
    )
    theirs.load_state_dict(ours.state_dict())
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
    plain = kind(theirs.parameters(), lr=0.01, weight_decay=0.1, foreach=False)
    fused = make_optimizer(ours, config)
    for step in range(4):
        if step == 2:  # its memory may move: the optimizer follows
            ours.weight.data = ours.weight.detach().clone()
        images = torch.randn(2, 3, 8, 8)
        for network, each in ((ours, fused), (theirs, plain)):
            each.zero_grad()
            network(images).square().mean().backward()
            each.step()
        torch.testing.assert_close(ours.weight, theirs.weight, atol=1e-6, rtol=1e-5)
    assert ours.weight.is_contiguous(memory_format=torch.channels_last)


def test_saved_momenta_have_their_weights_shapes_and_come_back() -> None:
    """So that another device, where nothing is rearranged, can go on from them."""
    torch.manual_seed(0)
    network = nn.Conv2d(3, 8, 3, bias=False).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(network, CONFIG.but(optimizer="adamw"))
    network(torch.randn(2, 3, 8, 8)).square().mean().backward()
    gradient = network.weight.grad.clone()  # type: ignore[union-attr]
    optimizer.step()
    saved = optimizer.state_dict()
    momentum = saved["state"][0]["exp_avg"]
    torch.testing.assert_close(momentum, 0.1 * gradient)
    again = make_optimizer(network, CONFIG.but(optimizer="adamw"))
    again.load_state_dict(saved)
    for name in ("exp_avg", "exp_avg_sq", "step"):
        assert torch.equal(again.state_dict()["state"][0][name], saved["state"][0][name])
    (held,) = again.param_groups[0]["params"]
    assert again.state[held]["exp_avg"].shape == held.shape == (8, 3, 3, 3)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loaded_state_has_the_settings_of_its_own_device(optimizer: str) -> None:
    """A GPU saves a learning rate as a tensor, and settings that a CPU doesn't have."""
    config = CONFIG.but(optimizer=optimizer, weight_decay=0.1)
    layer = nn.Linear(2, 2)
    saved = make_optimizer(layer, config).state_dict()
    for group in saved["param_groups"]:
        group |= {"lr": torch.tensor(7.0), "capturable": True, "fused": False}
    loaded = make_optimizer(layer, config)
    loaded.load_state_dict(saved)
    own = make_optimizer(layer, config).param_groups
    names = own[0].keys() - {"params"}
    for group, wanted in zip(loaded.param_groups, own, strict=True):
        assert {name: group.get(name) for name in names} == {name: wanted[name] for name in names}
    set_lr(loaded, 0.5)
    assert [group["lr"] for group in loaded.param_groups] == [0.5, 0.5]


def test_a_rate_on_a_device_is_set_in_place() -> None:
    loaded = make_optimizer(nn.Linear(2, 2), CONFIG)
    rates = [torch.zeros(()), torch.zeros(())]
    for group, rate in zip(loaded.param_groups, rates, strict=True):
        group["lr"] = rate
    set_lr(loaded, 0.25)
    assert [float(rate) for rate in rates] == [0.25, 0.25]
    assert all(g["lr"] is rate for g, rate in zip(loaded.param_groups, rates, strict=True))
