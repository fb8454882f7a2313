"""Networks of timm and torchvision by name: their own outputs, stages that freeze, refusals."""

import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from trainables.config import ConfigError, TrialConfig
from trainables.models import pretrained as weights
from trainables.models.base import NetworkError, WeightsError
from trainables.models.network import Network, build, check, count_gmacs, freeze, load_tensors
from trainables.training.optimizer import make_optimizer
from trainables.training.step import train_step

STAGES = {
    "timm:efficientnet_lite0": 8,
    "timm:resnet18": 5,
    "timm:mobilenetv3_small_050": 8,
    "timm:convnext_atto": 6,
    "timm:vit_tiny_patch16_224": 13,
    "torchvision:mobilenet_v3_small": 13,
    "torchvision:shufflenet_v2_x0_5": 5,
}


def config_of(network: str) -> TrialConfig:
    return TrialConfig(network=network, image_size=64, precision="float32")


def library_model(network: str, num_classes: int) -> nn.Module:
    library, _, name = network.partition(":")
    if library == "torchvision":
        model: nn.Module = torchvision.models.get_model(name, num_classes=num_classes)
    else:
        sized = {"img_size": 64} if name.startswith("vit") else {}
        model = timm.create_model(name, num_classes=num_classes, **sized)
    for module in model.modules():  # statistics unlike a new network's
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("name", STAGES)
def test_the_librarys_weights_give_its_outputs(name: str, tmp_path: Path) -> None:
    model = library_model(name, num_classes=7)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    config = config_of(name).but(weights=str(tmp_path / "weights.pth"))
    weights.check(config)
    network = build(config, num_classes=7)
    weights.load(network, config)
    freeze(network, 2)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(images), model(images), atol=1e-5, rtol=1e-5)


def state(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("name", STAGES)
def test_its_stages_freeze(name: str) -> None:
    """Frozen bytes stay, all others move; nothing frozen trains, or is in a checkpoint."""
    config = config_of(name)
    check(config)
    network = build(config, num_classes=5)
    assert network.depth() == STAGES[name]
    freeze(network, STAGES[name] - 1)
    before, optimizer = state(network), make_optimizer(network, config)
    images, labels = torch.randn(4, 3, 64, 64), torch.arange(4)
    train_step(network.train(), optimizer, images, labels, config)
    after = network.state_dict()
    frozen = network.frozen_state()
    assert all(torch.equal(tensor, before[key]) for key, tensor in frozen.items())
    assert set(frozen) | set(network.trained_state()) == set(after)
    assert not set(frozen) & set(network.trained_state())
    for key, parameter in network.named_parameters():
        assert parameter.requires_grad == (key not in frozen)
        assert (parameter.grad is None) == (key in frozen)
    assert not torch.equal(network.head.fc.weight, before["head.fc.weight"])
    assert not any(module.training for module in network.frozen_modules())


def test_frozen_stages_build_no_graph() -> None:
    network = build(config_of("timm:vit_tiny_patch16_224"), num_classes=5)
    freeze(network, network.depth())
    kept: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    assert network.train()(torch.randn(2, 3, 64, 64)).requires_grad
    assert not kept[0].requires_grad
    freeze(network, 0)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_dense_layer_comes_before_the_last() -> None:
    network = build(config_of("timm:resnet18").but(head_width=16), num_classes=5)
    assert network.head.hidden.weight.shape == (16, 512)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 5)


def test_its_cost_is_counted() -> None:
    """As torchvision's ResNet-18, whose cost the catalog knows: 1.81·10⁹ at 224 px."""
    counted = count_gmacs(config_of("timm:resnet18"))
    assert counted == pytest.approx(1.81 * (64 / 224) ** 2, rel=0.02)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet1", r"one of timm's, but got network='timm:resnet1'; did you mean"),
        ("torchvision:nothing_like_it", "see torchvision's list of models"),
        ("torchvision:squeezenet1_0", "must end in a dense layer"),
        ("torchvision:vit_b_16", "must take images of 72 pixels"),
    ],
)
def test_what_cant_be_built_is_one_sentence(name: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        check(config_of(name).but(image_size=72))


def test_more_frozen_stages_than_there_are_is_one_sentence() -> None:
    with pytest.raises(NetworkError, match=r"must lie in 0…5, .* but got freeze_depth=6"):
        check(config_of("timm:resnet18").but(freeze_depth=6))


def test_stages_out_of_order_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    backwards = {"coarse": r"^layer1", "late": r"^conv1|bn1", "rest": r"^layer(\d)"}
    monkeypatch.setattr(timm.models.ResNet, "group_matcher", lambda self, coarse: backwards)
    with pytest.raises(NetworkError, match="run one after the other"):
        check(config_of("timm:resnet18"))


def test_without_timm_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(NetworkError, match=r"pip install '\.\[timm\]'"):
        check(config_of("timm:resnet18"))


def test_timms_weights_come_from_the_hub_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model, create = library_model("timm:resnet18", 1000), timm.create_model
    config = config_of("timm:resnet18").but(weights="imagenet")

    def offline(name: str, pretrained: bool = False, **options: object) -> nn.Module:
        if pretrained:
            raise ConnectionError("no route")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"Hugging Face's hub, .*ConnectionError"):
        weights.check(config)

    def cached(name: str, pretrained: bool = False, **options: object) -> nn.Module:
        made = create(name, **options)
        if pretrained:
            made.load_state_dict(model.state_dict(), strict=False)  # all but its head
        return made

    monkeypatch.setattr(timm, "create_model", cached)
    network = build(config, num_classes=5)
    weights.load(network, config)
    assert torch.equal(network.body.layer4[1].conv2.weight, model.layer4[1].conv2.weight)


def test_one_that_looks_at_values_while_it_is_built() -> None:
    """RegNet counts its blocks in a tensor, which has no values on the meta device."""
    config = config_of("torchvision:regnet_x_400mf")
    check(config)
    assert count_gmacs(config) > 0.01


def test_one_whose_tensors_have_versions_takes_them_back() -> None:
    """MNASNet refuses tensors that don't say which version of it they are from."""
    config = config_of("torchvision:mnasnet0_5")
    source, target = build(config, num_classes=5), build(config, num_classes=5)
    load_tensors(target, dict(source.state_dict()))
    assert all(torch.equal(t, target.state_dict()[n]) for n, t in source.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": "small"}, "stem must be imagenet for a library's network"),
        ({"compile": True}, "compile must be false for a library's network"),
        ({"freeze_depth": -1}, "freeze_depth must lie in 0…1000"),
        ({"network": "resnet19"}, "timm:NAME or torchvision:NAME"),
    ],
)
def test_what_needs_no_torch_is_said_at_once(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrialConfig.from_dict({"network": "timm:resnet18"} | changes)
