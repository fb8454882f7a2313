"""The ends of ranges, with numbers; and what is refused there, before anything starts."""

import optuna
import pytest
import torchvision
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from torchvision.models import VisionTransformer

from search.config.command_line import resolve
from search.hardware.probe import ProbeError, check_start
from search.planning.bounds import find_bounds
from search.planning.plan import make_plan
from tests.remedies.searches import write_space
from trainables.config import ConfigError, TrialConfig

BASELINE = TrialConfig(network="resnet50", freeze_depth=2)


def narrow_transformer(_, num_classes=1000, image_size=224):
    """torchvision's, with a hundredth of the width and a sixth of the depth."""
    return VisionTransformer(
        image_size, patch_size=32, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=32,
        num_classes=num_classes,
    )  # fmt: skip


def test_every_range_counts_by_its_end():
    ranges = {
        "image_size": CategoricalDistribution([96, 224, 64]),
        "batch_size": IntDistribution(16, 256),
        "freeze_depth": IntDistribution(1, 4),
        "ema": FloatDistribution(0.0, 0.99),
        "lr": FloatDistribution(1e-4, 1.0),
    }
    found = find_bounds(BASELINE, ranges)
    most = {"image_size": 224, "batch_size": 256, "freeze_depth": 1, "ema": 0.99}
    assert found.largest == BASELINE.but(**most)
    assert found.starting == (BASELINE.but(freeze_depth=4),)
    assert find_bounds(BASELINE, {}).starting == (BASELINE,)


@pytest.mark.parametrize(
    ("baseline", "choices", "largest"),
    [
        (BASELINE.but(optimizer="sgd", momentum=0.9), ["sgd", "adamw"], {"optimizer": "adamw"}),
        (BASELINE.but(optimizer="adamw"), ["sgd", "adam"], {"optimizer": "adam"}),
        (BASELINE.but(optimizer="sgd", momentum=0.9), ["sgd"], {"momentum": 0.9}),
    ],
)
def test_the_largest_has_the_optimizer_with_most_state(baseline, choices, largest):
    found = find_bounds(baseline, {"optimizer": CategoricalDistribution(choices)})
    assert found.largest == baseline.but(**{"momentum": None} | largest)


def test_a_library_s_network_starts_at_both_ends_of_its_sizes():
    network = BASELINE.but(network="torchvision:vit_b_16")
    sizes = {"image_size": CategoricalDistribution([96, 100, 64])}
    assert [c.image_size for c in find_bounds(network, sizes).starting] == [64, 100]
    assert find_bounds(network, {}).starting == (network,)


def test_what_a_rule_forbids_at_an_end_is_one_sentence_for_each():
    ranges = {"ema": FloatDistribution(0.0, 1.0), "freeze_depth": IntDistribution(0, 9)}
    with pytest.raises(ConfigError) as caught:
        find_bounds(BASELINE, ranges)
    ema, depth = caught.value.errors
    assert ema == (
        "At the ends of the space's ranges ema must lie in [0, 1), but got ema=1.0: narrow that "
        "range, or fix the field with --set."
    )
    assert "must lie in 0…5 for resnet50" in depth


def test_a_plan_refuses_it(tmp_path, monkeypatch):
    """Even where none of the first configurations happens to lie there."""
    path = write_space(tmp_path / "mine.py", ema='float("ema", 0.0, 1.0)')
    options, errors = resolve({"space": str(path), "out": str(tmp_path)})
    plan, more = make_plan(options, resuming=False)
    assert (plan, errors) == (None, [])
    assert [sentence.partition(",")[0] for sentence in more] == [
        "At the ends of the space's ranges ema must lie in [0"
    ]


def test_a_transformer_that_takes_the_baseline_s_size_only_is_refused_before_the_search(
    monkeypatch,
):
    monkeypatch.setattr(torchvision.models, "get_model", narrow_transformer)
    baseline = TrialConfig(network="torchvision:vit_b_32", image_size=64)
    trial = optuna.trial.FixedTrial({"image_size": 80})
    trial.suggest_int("image_size", 64, 80, step=16)
    at_64, at_80 = find_bounds(baseline, trial.distributions).starting
    check_start(at_64)
    with pytest.raises(ProbeError, match="must take images of 80 pixels"):
        check_start(at_80)
