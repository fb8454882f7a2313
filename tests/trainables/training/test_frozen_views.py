"""Outputs of frozen stages that are kept: exact without augmentation, shared, bounded."""

import os
import shutil
from collections import namedtuple
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from common.files import lock_folder
from datasets import kept_outputs
from datasets.access import open_final_data, open_search_data
from datasets.manifest import OUTPUTS
from datasets.splits import SearchData, Split
from results.records import EpochMetrics
from tests.trainables.test_train import CLOCK
from trainables.config import ConfigError, TrialConfig
from trainables.models.network import Network
from trainables.models.setup import new_network
from trainables.train import train, train_with_news
from trainables.training import checkpoint_writer, frozen_views, step
from trainables.training.batches import BatchFeeder
from trainables.training.epoch import PauseError
from trainables.training.evaluate import Evaluator, evaluate
from trainables.training.frozen_views import FrozenViews, Preparation

pytestmark = pytest.mark.usefixtures("narrow_resnets")

CPU = torch.device("cpu")
PLAIN = TrialConfig(
    network="resnet10", image_size=32, batch_size=16, epochs=4, lr=2e-3, freeze_depth=3,
    dropout=0.2, precision="float32",
)  # fmt: skip
AUGMENTED = PLAIN.but(flip=True, crop=0.1, cutout=0.25, policy="trivial", views=2)


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> SearchData:
    return open_search_data(shutil.copytree(tiny_data, tmp_path / "data"))


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """Without a file, the frozen stages' weights are another seed's."""
    torch.save(new_network(PLAIN, 4, CPU).state_dict(), tmp_path / "weights.pt")
    return str(tmp_path / "weights.pt")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each run of the frozen stages."""
    found, compute = list[int](), Network.frozen_features

    def counted(network: Network, images: Tensor) -> Tensor:
        found.append(len(images))
        return compute(network, images)

    monkeypatch.setattr(Network, "frozen_features", counted)
    return found


def numbers(epochs: list[EpochMetrics]) -> list[dict[str, Any]]:
    return [{k: v for k, v in asdict(e).items() if k not in CLOCK} for e in epochs]


def files(data: SearchData) -> list[Path]:
    """Those of training: more images than an evaluation has."""
    found = (data.train.beton.parent / OUTPUTS).glob("*/view-*/outputs.npy")
    return sorted(path for path in found if len(np.load(path, mmap_mode="r")) > len(data.val))


def views_of(
    data: SearchData, config: TrialConfig, split: Split | None = None
) -> FrozenViews | None:
    """What a training on the images of `split`, by default those of a search, learns from."""
    network, feeder = new_network(config, 4, CPU), BatchFeeder(device=CPU)
    return FrozenViews.of(network, data.images, config, feeder, split or data.train)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "bfloat16", "micro_batch_size": 6},
        {
            "freeze_depth": 5,
            "head_width": 8,
            "precision": "bfloat16",
            "ema": 0.9,
            "label_smoothing": 0.1,
        },
        {"network": "mini_alexnet", "freeze_depth": 5},
    ],
)
def test_without_augmentation_the_numbers_are_those_of_running_the_stages(
    data: SearchData, changes: dict[str, Any]
) -> None:
    config = PLAIN.but(epochs=2, **changes)
    run, kept = list(train(config, data)), list(train(config.but(views=1), data))
    assert len(files(data)) == 1
    assert numbers(run) == numbers(kept)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_mixup_mixes_outputs(
    data: SearchData, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """Each output is a blend of its image's and the previous one's, and so is its target."""
    config = AUGMENTED.but(mixup_alpha=0.4, precision=precision, epochs=1)
    seen = list[tuple[Tensor, Tensor]]()
    take = step.train_step

    def caught(network: Any, optimizer: Any, batch: Tensor, targets: Tensor, *rest: Any) -> Tensor:
        seen.append((batch, targets))
        return take(network, optimizer, batch, targets, *rest)

    monkeypatch.setattr(step, "train_step", caught)
    list(train(config, data))
    views = views_of(data, config)
    assert views is not None
    kept = views.of_epoch(1).outputs.float().permute(0, 3, 1, 2)
    batch, targets = seen[0]
    assert targets.sum(1) == pytest.approx(1)
    share = targets.max(
        1
    ).values.min()  # λ or 1 - λ, where an image's neighbour is of another class
    blends = share * kept[:, None] + (1 - share) * kept[None]
    for mixed in batch:
        assert (blends - mixed).abs().amax((2, 3, 4)).min() < 1e-2 * kept.abs().max()


def test_a_version_is_computed_once_for_all_epochs_and_trainings(
    data: SearchData, runs: list[int], weights: str
) -> None:
    config = AUGMENTED.but(weights=weights)
    list(train(config, data))
    images, evaluated = len(data.train) + len(data.val), len(data.val) + len(data.train_sample)
    shapes = 3  # of the outputs for train and for both that are evaluated, from an image each
    assert sum(runs) == shapes + 2 * images + evaluated
    assert [path.parent.name for path in files(data)] == ["view-0", "view-1"]
    runs.clear()
    list(train(config.but(seed=1, lr=1e-3, views=3, epochs=3), data))
    assert sum(runs) == shapes + images  # the third version alone
    runs.clear()
    list(train(config.but(cutout=0.5, epochs=1), data))
    assert sum(runs) == shapes + images  # another augmentation, which evaluation has none of


def test_an_evaluation_has_the_numbers_of_running_the_stages_whatever_is_augmented(
    data: SearchData, runs: list[int]
) -> None:
    network = new_network(AUGMENTED, 4, CPU)
    plain = evaluate(network, data.val, data.images, AUGMENTED, CPU)
    assert not list(data.val.beton.parent.glob(f"{OUTPUTS}/*"))  # what is opened once isn't kept
    ran = []
    for config in (AUGMENTED, AUGMENTED.but(views=1, flip=False, cutout=0.5, policy="none")):
        runs.clear()
        evaluator = Evaluator(network, data.images, config, BatchFeeder(device=CPU))
        assert evaluator.evaluate(data.val) == plain
        ran.append(sum(runs))
    assert ran == [1 + len(data.val), 1]  # one image tells the outputs' shape


def test_what_another_computes_is_not_waited_for_while_a_version_is_missing(
    data: SearchData,
) -> None:
    views = views_of(data, AUGMENTED.but(views=3))
    assert views is not None
    with lock_folder(views.root / views.key / "view-0"):  # by another process, for all it knows
        steps = views.prepare(1)
        said = [next(steps).text for _ in range(3)]
        assert [path.parent.name for path in files(data)] == ["view-1", "view-2"]
    assert said == [
        "has outputs of frozen stages for 100% of 80 images, version 2 of 3",
        "has outputs of frozen stages for 100% of 80 images, version 3 of 3",
        "waits for outputs of frozen stages, which another training computes",
    ]
    assert len(list(steps)) == 1
    assert [path.parent.name for path in files(data)] == ["view-0", "view-1", "view-2"]


def test_the_only_version_is_waited_for_while_another_training_computes_it(
    data: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_views, "WAIT_S", 0.01)
    views = views_of(data, AUGMENTED.but(views=1))
    assert views is not None
    with lock_folder(views.root / views.key / "view-0"):
        steps = views.prepare(1)
        waits = "waits for outputs of frozen stages, which another training computes"
        assert [next(steps).text for _ in range(3)] == 3 * [waits]
    assert len(list(steps)) == 1
    assert len(files(data)) == 1


def test_outputs_that_an_evaluation_has_stored_are_not_computed_again(
    data: SearchData, runs: list[int]
) -> None:
    epochs = train(AUGMENTED.but(views=1, epochs=2), data)
    next(epochs)
    shutil.rmtree(data.train.beton.parent / OUTPUTS)
    runs.clear()
    next(epochs)
    assert sum(runs) == len(data.train) + len(data.val)  # those that it learns from alone


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs of 16 images are computed at once, so that a version of 80 has five chunks."""
    monkeypatch.setattr(frozen_views, "AT_ONCE", 16)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_version_goes_on_where_its_computation_has_ended(
    data: SearchData, runs: list[int], weights: str, precision: str
) -> None:
    config = AUGMENTED.but(weights=weights, precision=precision)
    views = views_of(data, config)
    assert views is not None
    whole = views.of_epoch(1)
    shutil.rmtree(views.root)
    with closing(views.prepare(1)) as steps:
        assert [next(steps).text.split()[6] for _ in range(3)] == ["20%", "40%", "60%"]
    assert not files(data)
    runs.clear()
    again = views_of(data, config)
    assert again is not None
    outcome = again.of_epoch(1)
    assert sum(runs) == 1 + 2 * 16  # one image tells the outputs' shape
    assert torch.equal(outcome.outputs, whole.outputs)
    assert torch.equal(outcome.labels, whole.labels)
    assert sorted(path.name for path in files(data)[0].parent.iterdir()) == [".lock", "outputs.npy"]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("asked_at", [1, 3, 6, 7, 12, 14])
def test_a_training_that_is_asked_to_stop_keeps_what_it_has_prepared(
    data: SearchData, tmp_path: Path, runs: list[int], weights: str, asked_at: int
) -> None:
    """Asked after so many chunks and steps: 5 chunks of train, one of val and of the sample each,
    then 4 steps of the first epoch, the epoch itself, and 5 chunks of the second version."""
    config = AUGMENTED.but(weights=weights, epochs=2)
    whole = list(train(config, data))
    computed = sum(runs)
    shutil.rmtree(data.train.beton.parent / OUTPUTS)
    runs.clear()
    asked, checkpoint, seen = 0, tmp_path / "checkpoint.pt", list[EpochMetrics]()

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == asked_at

    with pytest.raises(PauseError, match=r"epoch [12]"):
        seen += train(config, data, checkpoint=checkpoint, stop=stop)
    resume = checkpoint if checkpoint.exists() else None
    assert (resume is None) == (asked_at <= 7)
    rest = list(train(config, data, resume))
    assert numbers(whole)[2 - len(rest) :] == numbers(rest)
    assert len(rest) == (2 if asked_at <= 7 else 1)
    assert sum(runs) == computed + 3  # the shapes are asked for once more


@pytest.mark.usefixtures("small_chunks")
def test_a_training_says_how_far_it_is_with_its_outputs(
    data: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_writer, "TELL_FIRST_S", 0.0)
    monkeypatch.setattr(checkpoint_writer, "TELL_EVERY_S", 0.0)
    news = list(train_with_news(AUGMENTED.but(epochs=2), data))
    said = [each.text if isinstance(each, Preparation) else each.epoch for each in news]
    version = "has outputs of frozen stages for {}% of 80 images, version {} of 2"
    clean = "has outputs of frozen stages for 100% of 8 images"
    shares = (20, 40, 60, 80, 100)
    assert said == [
        *(version.format(share, 1) for share in shares), clean, 1,
        *(version.format(share, 2) for share in shares), 2,
    ]  # fmt: skip


def test_versions_differ_and_take_turns(data: SearchData, weights: str) -> None:
    config = AUGMENTED.but(weights=weights)
    views = views_of(data, config)
    assert views is not None
    first, second, third = (views.of_epoch(epoch).outputs for epoch in (1, 2, 3))
    assert not torch.equal(first, second)
    assert torch.equal(first, third)
    again = views_of(data, config.but(seed=7))
    assert again is not None
    assert torch.equal(again.of_epoch(2).outputs, second)


@pytest.mark.parametrize("changes", [{}, {"mixup_alpha": 0.5, "cutmix_alpha": 1.0}])
def test_resuming_in_the_middle_of_an_epoch_gives_the_numbers_of_not_stopping(
    data: SearchData, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config, asked = AUGMENTED.but(**changes), 0
    whole = list(train(config, data))

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 7  # four steps an epoch, and the epoch itself

    seen, checkpoint = list[EpochMetrics](), tmp_path / "checkpoint.pt"
    with pytest.raises(PauseError):
        seen += train(config, data, checkpoint=checkpoint, stop=stop)
    seen = [*whole[:1], *train(config, data, resume=checkpoint)]
    assert numbers(seen) == numbers(whole)


def test_cutmix_mixes_maps_even_where_every_stage_is_frozen(data: SearchData) -> None:
    config = AUGMENTED.but(freeze_depth=5, cutmix_alpha=1.0)
    views = views_of(data, config)
    assert views is not None
    assert views.of_epoch(1).outputs.dim() == 4
    assert all(each.train_loss is not None for each in train(config, data))


@pytest.mark.parametrize(
    "changes",
    [
        {"views": 0},
        {"freeze_depth": 0},
        {"network": "resnet10", "image_size": 128, "freeze_depth": 1},
    ],
)
def test_nothing_is_kept_where_views_change_nothing(
    data: SearchData, changes: dict[str, Any]
) -> None:
    """The stem's output for an image of 128 px has 64·32·32 numbers."""
    assert views_of(data, AUGMENTED.but(**changes)) is None


def test_final_training_finds_what_a_search_kept(data: SearchData, runs: list[int]) -> None:
    config = AUGMENTED.but(epochs=2)
    list(train(config, data))
    final = open_final_data(data.train.beton.parent)
    runs.clear()
    list(train(config, final))
    assert sum(runs) == 2 + len(data.val)  # two of the outputs' shapes, and another sample of train
    assert len(files(data)) == 2
    views, searched = views_of(data, config, final.train), views_of(data, config)
    assert views is not None
    assert searched is not None
    whole, part = views.of_epoch(1), searched.of_epoch(1)
    kept, labels = next(whole.batches(data.train, 8, order_seed=None, drop_last=False))
    same, _ = next(part.batches(data.train, 8, order_seed=None, drop_last=False))
    assert torch.equal(kept, same)
    assert torch.equal(labels, whole.labels[torch.from_numpy(data.train.indices[:8])])


def test_a_training_on_a_share_of_the_images_keeps_theirs_alone(data: SearchData) -> None:
    for count, kept in ((len(data.train) // 2, len(data.train) // 2), (len(data.train), 80)):
        part = replace(data.train, indices=data.train.indices[:count])
        views = views_of(data, AUGMENTED, part)
        assert views is not None
        assert len(views.of_epoch(1).outputs) == kept


def test_a_damaged_file_is_made_anew(data: SearchData) -> None:
    views = views_of(data, AUGMENTED)
    assert views is not None
    before = views.of_epoch(1).outputs.clone()
    (path,) = files(data)
    for damage in (lambda: os.truncate(path, 300), lambda: path.write_bytes(b"no array")):
        damage()
        assert torch.equal(views.of_epoch(1).outputs, before)


def test_what_a_killed_process_left_is_removed(data: SearchData) -> None:
    views = views_of(data, AUGMENTED)
    assert views is not None
    views.of_epoch(1)
    left = files(data)[0].parent.parent / "view-1" / ".outputs.npy.999999999.tmp"
    left.parent.mkdir()
    left.write_bytes(b"half")
    views.of_epoch(2)
    assert not left.exists()
    assert len(files(data)) == 2


def test_those_used_longest_ago_make_room(
    data: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [AUGMENTED.but(views=1, cutout=share) for share in (0.1, 0.2, 0.3)]
    kept = []
    for config in configs[:2]:
        views = views_of(data, config)
        assert views is not None
        views.of_epoch(1)
        kept.append(next(path for path in files(data) if path not in kept))
    size = kept[0].stat().st_size
    monkeypatch.setattr(kept_outputs, "BUDGET_BYTES", 2.5 * size)
    os.utime(kept[1], (1, 1))
    third = views_of(data, configs[2])
    assert third is not None
    third.of_epoch(1)
    assert kept[0].exists()
    assert not kept[1].exists()


def test_too_large_ones_are_refused_before_any_work(
    data: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    size = 128 // 8 * 4 * 4 * 4 * (len(data.train) + len(data.val))  # the third stage's maps
    free = 2 * 3 * size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, free))
    assert views_of(data, AUGMENTED.but(views=3)) is not None
    with pytest.raises(ConfigError, match=r"views must be ≤ 3, .* but got views=4, .* lower views"):
        next(train(AUGMENTED.but(views=4), data))
    assert not files(data)
