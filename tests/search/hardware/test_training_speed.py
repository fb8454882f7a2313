"""How long an epoch takes, by what is known best, in numbers that are worked out by hand."""

from dataclasses import replace

import pytest

from results.records import EpochMetrics
from search.hardware.allocation import Resources
from search.hardware.training_speed import GMACS_PER_GPU, GMACS_PER_THREAD, Source, TrainingSpeed
from tests.search.study_on_curves import metrics
from trainables.catalog import forward_gmacs
from trainables.config import TrialConfig

IMAGES = 2700
"""With val and a sample, which are 300 images each and cost a third, these count as 2,900."""

SMALL = TrialConfig(network="resnet18", image_size=64)
LARGE = SMALL.but(image_size=128)
CORES = Resources(concurrent=2, threads=3, why="")
GPU = Resources(concurrent=1, threads=4, why="", per_gpu=2, beside=CORES)
EXTERNAL = TrialConfig(network="timm:convnext_atto", image_size=64)


def epoch(wall_s: float, loss: float | None = 2.0) -> EpochMetrics:
    return replace(metrics(1, 0.5, loss=loss), wall_s=wall_s)


def test_without_a_measurement_a_rule_counts_threads_and_gpus() -> None:
    speed = TrainingSpeed(IMAGES, GPU.kinds)
    step = 3 * forward_gmacs("resnet18", 64, "imagenet")
    on_cores, on_gpu = speed.estimate(SMALL), speed.estimate(SMALL, 0.5)
    assert (
        on_cores.epoch_s
        == on_cores.longest_s
        == pytest.approx(2900 * step / (3 * GMACS_PER_THREAD))
    )
    assert on_gpu.epoch_s == pytest.approx(2900 * step / (0.5 * GMACS_PER_GPU))
    assert (on_cores.source, on_gpu.source) == (Source.RULE, Source.RULE)


def test_what_was_measured_outranks_the_rule_and_scales_with_the_size() -> None:
    speed = TrainingSpeed(IMAGES, [CORES, GPU], (SMALL, 290.0))
    assert speed.estimate(SMALL).epoch_s == pytest.approx(10.0)
    assert speed.estimate(LARGE).epoch_s == pytest.approx(40.0)
    other = speed.estimate(SMALL.but(network="resnet34"))
    assert other.epoch_s == pytest.approx(10.0 * 3.6633 / 1.8134)
    assert {speed.estimate(c).source for c in (SMALL, LARGE)} == {Source.MEASURED}
    assert speed.estimate(SMALL, 0.5).source is Source.RULE  # it was measured on cores


def test_what_was_measured_on_a_gpu_outranks_the_rule_there_alone() -> None:
    speed = TrainingSpeed(IMAGES, GPU.kinds, (SMALL, 290.0))
    assert speed.estimate(LARGE, 0.5).epoch_s == pytest.approx(40.0)
    assert speed.estimate(LARGE, 0.5).source is Source.MEASURED
    assert speed.estimate(SMALL).source is Source.RULE


def test_a_frozen_stage_has_no_backward_pass() -> None:
    """Stem and first layer have 0.32 of a ResNet-18's multiply-adds."""
    speed = TrainingSpeed(IMAGES, CORES.kinds, (SMALL.but(freeze_depth=2), 290.0))
    work = 3 - 2 * (0.118 + 0.4624) / 1.8134
    assert speed.estimate(SMALL.but(freeze_depth=2)).epoch_s == pytest.approx(10.0)
    assert speed.estimate(SMALL).epoch_s == pytest.approx(10.0 * 3 / work)
    assert speed.estimate(SMALL.but(freeze_depth=5)).epoch_s == pytest.approx(10.0 / work)


def test_of_a_library_s_network_the_size_of_its_images_counts() -> None:
    assert TrainingSpeed(IMAGES, CORES.kinds).estimate(EXTERNAL) is None
    speed = TrainingSpeed(IMAGES, CORES.kinds, (EXTERNAL, 290.0))
    assert speed.estimate(EXTERNAL.but(image_size=96)).epoch_s == pytest.approx(22.5)
    assert speed.estimate(EXTERNAL.but(network="timm:convnext_femto")) is None


def test_trained_epochs_outrank_the_measurement_for_other_sizes_too() -> None:
    speed = TrainingSpeed(IMAGES, GPU.kinds, (SMALL, 290.0))
    speed.learn(SMALL, 0.0, epoch(80.0))
    speed.learn(SMALL, 0.0, epoch(120.0))
    for config, times in ((SMALL, 1), (LARGE, 4)):
        found = speed.estimate(config)
        assert found.epoch_s == pytest.approx(100.0 * times)
        assert found.longest_s == pytest.approx(120.0 * times)
        assert found.source is Source.TRAINED
    speed.learn(LARGE, 0.0, epoch(400.0))  # twice as slow as the others, for its size
    assert speed.estimate(SMALL).epoch_s == pytest.approx(100.0)
    assert speed.estimate(SMALL.but(image_size=32)).longest_s == pytest.approx(30.0)


def test_an_epoch_that_diverged_and_ended_early_does_not_count() -> None:
    speed = TrainingSpeed(IMAGES, CORES.kinds, (SMALL, 290.0))
    speed.learn(SMALL, 0.0, epoch(0.1, loss=None))
    assert speed.estimate(SMALL).source is Source.MEASURED


def test_epochs_on_a_gpu_say_nothing_of_cores() -> None:
    speed = TrainingSpeed(IMAGES, [CORES, GPU], (SMALL, 290.0))
    speed.learn(SMALL, 0.5, epoch(1.0))
    assert speed.estimate(LARGE, 0.5).epoch_s == pytest.approx(4.0)
    assert speed.estimate(SMALL).epoch_s == pytest.approx(10.0)


def test_an_epoch_of_no_time_at_all_does_no_harm() -> None:
    speed = TrainingSpeed(IMAGES, CORES.kinds)
    speed.learn(SMALL, 0.0, epoch(0.0))
    assert speed.estimate(LARGE).longest_s == 0.0
