"""What only torch can say of a configuration comes as one sentence, before a search starts."""

import sys

import pytest
import timm
import torch
import torchvision

from search.hardware.probe import ProbeError, check_start
from trainables.config import TrialConfig

LITE = TrialConfig(network="efficientnet_lite0", freeze_depth=9)


def test_a_network_that_can_be_built_passes():
    check_start(LITE)
    check_start(LITE.but(weights="imagenet"))
    check_start(TrialConfig(network="timm:convnext_atto", freeze_depth=6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "timm:convnext_atto"}, "freeze_depth must lie in 0…6"),
        ({"network": "timm:convnext_atom"}, "did you mean timm:convnext_atto"),
        ({"network": "torchvision:squeezenet1_1"}, "must end in a dense layer"),
        ({"weights": "/no/such/file"}, "existing file"),
    ],
)
def test_a_network_or_weights_that_cant_be_had_are_refused(changes, message):
    with pytest.raises(ProbeError, match=message) as caught:
        check_start(LITE.but(**changes))
    assert str(caught.value).endswith((".", "?"))


def test_a_missing_package_is_refused_without_weights_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ProbeError, match="need the package timm"):
        check_start(LITE)


def test_a_network_is_built_once_for_its_own_check_and_its_weights(monkeypatch, tmp_path):
    name, built = "mobilenet_v3_small", []
    make = torchvision.models.get_model
    torch.save(make(name, num_classes=7).state_dict(), tmp_path / "weights.pth")

    def counting(*arguments, **options):
        built.append(arguments)
        return make(*arguments, **options)

    monkeypatch.setattr(torchvision.models, "get_model", counting)
    weights = str(tmp_path / "weights.pth")
    check_start(TrialConfig(network=f"torchvision:{name}", weights=weights))
    assert len(built) == 1


def test_weights_of_one_size_are_refused_where_trials_try_another(tmp_path):
    """A vision transformer's positions are for one number of patches: 4 × 4 here, and a class."""
    name = "vit_tiny_patch16_224"
    state = timm.create_model(name, num_classes=7, img_size=64).state_dict()
    torch.save(state, tmp_path / "vit.pth")
    config = TrialConfig(network=f"timm:{name}", weights=str(tmp_path / "vit.pth"))
    check_start(config.but(image_size=64))
    with pytest.raises(ProbeError, match=r"pos_embed \(1, 17, 192\) instead of \(1, 5, 192\)"):
        check_start(config.but(image_size=32))
