"""Files of weights as people save them: what is understood, and what is said of the rest."""

import argparse
import enum
import functools
import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.serialization import get_safe_globals
from torchvision.models.resnet import BasicBlock, ResNet

from tests.trainables.models.evil import Evil
from trainables.config import TrialConfig
from trainables.models import pretrained
from trainables.models.base import WeightsError
from trainables.models.network import build
from trainables.models.weights_file import read_weights

RESNET10 = TrialConfig(network="resnet10")
State = dict[str, Tensor]


def draw(seed: int) -> State:
    torch.manual_seed(seed)
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7).state_dict()


@pytest.fixture(scope="module")
def state() -> State:
    return draw(0)


@pytest.fixture(scope="module")
def averaged() -> State:
    return draw(1)


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def saved(content: Any, folder: Path, **how: Any) -> TrialConfig:
    torch.save(content, folder / "weights.pth", **how)
    return RESNET10.but(weights=str(folder / "weights.pth"))


def refusal(config: TrialConfig) -> str:
    with pytest.raises(WeightsError) as caught:
        pretrained.check(config)
    assert len(caught.value.errors) == 1
    return str(caught.value)


def loads(config: TrialConfig, expected: State) -> bool:
    """Whether check accepts the file, and load gives the network those tensors."""
    pretrained.check(config)
    network = build(config, num_classes=7)
    pretrained.load(network, config)
    loaded = network.state_dict()
    return all(
        torch.equal(loaded[f"stages.{name}"], tensor)
        for name, tensor in expected.items()
        if name.startswith("layer")
    ) and all(
        torch.equal(loaded[ours], expected[theirs])
        for ours, theirs in [("stages.stem.conv1.weight", "conv1.weight"),
                             ("head.fc.weight", "fc.weight")]
    )  # fmt: skip


class Color(enum.Enum):
    RED = 1


OPTIONS = argparse.Namespace(lr=0.1, output=Path("runs"), color=Color.RED)
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}

# Name -> what is saved of the weights, and of their average where there is one.
CASES: dict[str, Callable[[State, State], Any]] = {
    "torch.compile": lambda s, _: under("_orig_mod.", s),
    "DDP": lambda s, _: under("module.", s),
    "DDP of torch.compile": lambda s, _: under("module._orig_mod.", s),
    "torch.compile of DDP": lambda s, _: under("_orig_mod.module.", s),
    "compiled layers": lambda s, _: {k.replace(".0.", ".0._orig_mod."): v for k, v in s.items()},
    "Lightning": lambda s, _: {"state_dict": under("model.", s), "epoch": 3},
    "Lightning of torch.compile": lambda s, _: {
        "state_dict": under("model._orig_mod.", s), "optimizer_states": [OPTIMIZER],
        "lr_schedulers": [{"last_epoch": 3}], "hyper_parameters": {"run": OPTIONS},
        "hparams_type": argparse.Namespace, "loops": {}, "callbacks": {"x": {"best": None}},
    },
    "backbone": lambda s, _: {"backbone." + k: v for k, v in s.items()},
    "backbone in a container": lambda s, _: {"state_dict": under("backbone.", s)},
    "model of a backbone": lambda s, _: under("module.model.backbone.", s),
    "PyTorch's tutorial": lambda s, _: {
        "epoch": 3, "model_state_dict": s, "optimizer_state_dict": OPTIMIZER, "loss": 0.5,
    },
    "a numpy figure beside": lambda s, _: {"model": s, "best": np.float64(0.5)},
    "a function beside": lambda s, _: {"model": s, "warm": functools.partial(print, "x")},
    "EMA alone": lambda _, a: {"state_dict_ema": a, "epoch": 1},
    "the average of torchvision alone": lambda _, a: {"model_ema": under("module.", a)},
    "SWA": lambda s, _: {"n_averaged": torch.tensor(7), **under("module.", s)},
    "SWA in Lightning": lambda s, _: {
        "state_dict": {"model.n_averaged": torch.tensor(7), **under("model.module.", s)},
    },
    "a figure beside the tensors": lambda s, _: {**s, "epoch": 3},
    "timm": lambda s, a: {
        "arch": "resnet10", "state_dict": s, "state_dict_ema": a, "args": OPTIONS,
    },
    "timm without an average": lambda s, _: {
        "state_dict": s, "state_dict_ema": None, "args": OPTIONS,
    },
    "torchvision's references": lambda s, a: {
        "model": s, "epoch": 3, "args": OPTIONS, "model_ema": under("module.", a),
        "optimizer": OPTIMIZER, "lr_scheduler": {"last_epoch": 3}, "scaler": {},
    },
    "a container in a container": lambda s, _: {"model": {"state_dict": under("module.", s)}},
}  # fmt: skip
AVERAGED = {"EMA alone", "the average of torchvision alone", "timm"}


@pytest.mark.parametrize("case", CASES)
def test_what_scripts_save_is_understood(
    case: str, state: State, averaged: State, tmp_path: Path
) -> None:
    config = saved(CASES[case](state, averaged), tmp_path)
    assert loads(config, averaged if case in AVERAGED else state)


@pytest.mark.parametrize(
    ("case", "stated"),
    [
        ("timm", "weights under state_dict_ema are used, and not those under state_dict."),
        (
            "torchvision's references",
            "weights under model are used, and not those under model_ema.",
        ),
    ],
)
def test_which_of_two_copies_is_taken_is_stated(
    case: str,
    stated: str,
    state: State,
    averaged: State,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a warning, which a search shows; a trial that loads them doesn't repeat it."""
    config = saved(CASES[case](state, averaged), tmp_path)
    pretrained.check(config)
    (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert stated in warning.getMessage()
    assert config.weights in warning.getMessage()
    caplog.clear()
    pretrained.load(build(config, num_classes=7), config)
    assert "are used" not in caplog.text


def test_what_is_ignored_is_listed(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = saved(CASES["SWA"](state, state) | {"epoch": 3}, tmp_path)
    with caplog.at_level(logging.INFO):
        pretrained.check(config)
    assert f"{config.weights}: not used are n_averaged, epoch." in caplog.messages
    found = read_weights(Path(saved({"model": {"state_dict": state}, "a": 1}, tmp_path).weights))
    assert (found.entry, found.copies, found.extras) == ("model.state_dict", (), ("a",))


def test_misfits_are_named_in_one_sentence(state: State, tmp_path: Path) -> None:
    changed = {**state, "classifier.weight": torch.zeros(1), "bn1.bias": torch.zeros(3)}
    del changed["layer1.0.conv1.weight"]
    assert refusal(saved(under("model.", changed), tmp_path)).endswith(
        "stages.layer1.0.conv1.weight is missing; classifier.weight is unexpected; "
        "stages.stem.bn1.bias (3,) instead of (64,) is of another shape: choose the network, and "
        "its image_size, that they were saved from, or give them the names in its `state_dict()`."
    )


def test_what_is_too_much_is_named_and_its_remedy_works(state: State, tmp_path: Path) -> None:
    content = {**under("model.", state), "criterion.weight": torch.ones(7), "seen": torch.ones(1)}
    message = refusal(saved({"state_dict": content}, tmp_path))
    assert "criterion.weight, seen are unexpected: remove from the file" in message
    del content["criterion.weight"], content["seen"]
    assert loads(saved({"state_dict": content}, tmp_path), state)


def test_names_under_an_unknown_prefix_get_a_remedy_that_works(
    state: State, tmp_path: Path
) -> None:
    content = under("encoder.", state)
    message = refusal(saved(content, tmp_path))
    assert "stages.stem.conv1.weight" in message
    assert "encoder.conv1.weight" in message
    assert "give them the names in its `state_dict()`" in message
    renamed = {name.removeprefix("encoder."): tensor for name, tensor in content.items()}
    assert loads(saved(renamed, tmp_path), state)


@pytest.mark.parametrize("prefixes", [("", "module."), ("module.", ""), ("model.", "backbone.")])
def test_two_tensors_of_one_name_are_refused(
    prefixes: tuple[str, str], state: State, tmp_path: Path
) -> None:
    config = saved(under(prefixes[0], state) | under(prefixes[1], state), tmp_path)
    assert "has several of conv1.weight, which differ in prefix" in refusal(config)


def test_content_that_contains_itself_is_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {"epoch": 3}
    content["model"] = content
    assert "holds something else (epoch, model)" in refusal(saved(content, tmp_path))


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ({"weights": 3}, "(weights)"),
        ([1, 2], "(list)"),
        ({"state_dict": {}}, "(state_dict)"),
        ({}, "(dict)"),
        (dict.fromkeys("abcdef", 0), "(a, b, c, d, e …)"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(content: Any, held: str, tmp_path: Path) -> None:
    message = refusal(saved(content, tmp_path))
    assert "must be a state dict" in message
    assert held in message
    assert "save `model.state_dict()`" in message


@pytest.mark.parametrize("pack", [lambda model: model, lambda model: {"model": model}])
def test_a_pickled_network_is_refused_by_its_class_and_the_remedy_works(
    pack: Callable[[nn.Module], Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7)
    message = refusal(saved(pack(model), tmp_path))
    assert "needs torchvision.models.resnet.ResNet: " in message
    assert "save `model.state_dict()` alone" in message
    assert loads(saved(model.state_dict(), tmp_path), model.state_dict())


class Options(dict[str, Any]):
    """As Lightning's `AttributeDict`."""


def test_a_class_that_no_placeholder_fits_is_named(state: State, tmp_path: Path) -> None:
    config = saved({"state_dict": state, "hyper_parameters": Options(lr=0.1)}, tmp_path)
    assert f"needs {__name__}.Options: load it where it was made" in refusal(config)
    assert loads(saved(state, tmp_path), state)


def test_an_old_file_names_the_class_too(state: State, tmp_path: Path) -> None:
    """torch's format before 1.6 doesn't list its classes beforehand."""
    content = {"model": state, "args": OPTIONS}
    config = saved(content, tmp_path, _use_new_zipfile_serialization=False)
    assert "needs argparse.Namespace: " in refusal(config)
    assert loads(saved(state, tmp_path, _use_new_zipfile_serialization=False), state)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("call", "argument", "name"),
    [
        (os.mkdir, "{}", "posix.mkdir"),
        (os.system, "mkdir {}", "posix.system"),
        (eval, "__import__('os').mkdir('{}')", "eval"),
        (exec, "import os; os.mkdir('{}')", "exec"),
    ],
)
def test_code_is_never_run(
    call: Callable[..., Any],
    argument: str,
    name: str,
    zipped: bool,
    state: State,
    tmp_path: Path,
) -> None:
    """What isn't refused by name is passed over, and stays outside what torch loads later."""
    mark, safe = tmp_path / "mark", set(get_safe_globals())
    content = {"model": state, "x": Evil(argument.format(mark), call)}
    config = saved(content, tmp_path, _use_new_zipfile_serialization=zipped)
    if zipped and not name.startswith("posix"):
        assert loads(config, state)
    else:
        assert f"needs {name}: " in refusal(config)
    assert not mark.exists()
    assert set(get_safe_globals()) == safe


def test_a_damaged_or_missing_file_is_refused(state: State, tmp_path: Path) -> None:
    config = saved(state, tmp_path)
    path = Path(config.weights)
    path.write_bytes(path.read_bytes()[:1000])
    assert "can't be read" in refusal(config)
    path.write_bytes(b"")
    assert "can't be read" in refusal(config)
    path.unlink()
    assert "existing file" in refusal(config)


def test_a_flipped_bit_and_a_packed_file_are_refused(tmp_path: Path) -> None:
    config = saved({"x": torch.arange(9000.0)}, tmp_path)
    path = Path(config.weights)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="can't be read") as caught:
        pretrained.check(config)
    assert "checksum of weights/data/0" in str(caught.value.__cause__)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("weights/data/0", bytes(1 << 20))
    with pytest.raises(WeightsError, match="can't be read") as caught:
        pretrained.check(config)
    assert "unpacks to more than it is" in str(caught.value.__cause__)
