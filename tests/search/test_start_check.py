"""What only torch can say of a configuration comes as one sentence, before a search starts."""

import sys

import pytest

from search.probe import ProbeError, check_start
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
