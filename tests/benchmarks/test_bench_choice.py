"""What a search is shown of recorded heads, and the table of what it hands over."""

import numpy as np
import pytest
import torch

from results.jsonl import read_lines
from tests.benchmarks import bench_choice
from tests.benchmarks.bench_choice import Scale, describe, draw, record, shown, table, train_head
from trainables.training.evaluate import calibrated_probabilities

SMALL = Scale(heads=3, train=200, val=240, budget=2)


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of five classes that a linear head can tell apart in part."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (1_000,), generator=generator)
    centres = torch.randn(5, 16, generator=generator)
    return centres[labels] + 2 * torch.randn(1_000, 16, generator=generator), labels


def test_recorded_numbers_are_those_of_each_small_set(tmp_path, images) -> None:
    x, y = images
    path = tmp_path / "heads.jsonl"
    record(x, y, SMALL, path)
    lines = list(read_lines(path))
    assert [line["head"] for line in lines] == [0, 1, 2]
    order = torch.randperm(1_000, generator=torch.Generator().manual_seed(0))
    train, val, far = torch.split(order, [200, 240, 560])
    config = draw(np.random.default_rng([1, 5]))
    assert lines[1]["config"] == config
    *_, head = train_head(config, x[train], y[train], 5, 1)
    with torch.inference_mode():
        logits = head(x[val])
        right = (logits.argmax(1) == y[val]).double()
        exact = (head(x[far]).argmax(1) == y[far]).double().mean()
    assert lines[1]["exact"][-1] == pytest.approx(float(exact))
    accuracy, arithmetic, root, geometric = lines[1]["seen"][-1]["120"]
    assert accuracy == pytest.approx(
        [float(right[:120].mean()), float(right[120:].mean())], abs=1e-5
    )
    second = calibrated_probabilities(logits[120:], y[val][120:]).double()
    assert arithmetic[1] == pytest.approx(float(second.mean()), abs=1e-5)
    assert root[1] == pytest.approx(float(second.sqrt().mean()) ** 2, abs=1e-5)
    assert geometric[1] == pytest.approx(float(second.log().mean().exp()), abs=1e-5)


def test_a_search_sees_one_number_on_one_small_set(tmp_path, images) -> None:
    path = tmp_path / "heads.jsonl"
    record(*images, SMALL, path)
    record(*images, SMALL, path)  # goes on with nothing
    lines = list(read_lines(path))
    exact = table(lines, tmp_path)
    assert exact.val.shape == (3, 10)
    for number, place in (("accuracy", 0), ("geometric", 3)):
        seen = shown(exact, lines, 60, number, seed=5)  # the second of four sets
        assert seen.val[2, 9] == lines[2]["seen"][9]["60"][place][1]
    points = bench_choice.search(exact, exact, "random + ASHA", 0, budget=3)
    assert points[-1] == 0.0


def test_the_table_has_the_means_of_pairs() -> None:
    ends = {"accuracy": (2.0, 4.0, 7.0), "arithmetic": (1.0, 3.0), "root": (2.0, 4.0),
            "geometric": (4.0, 6.0)}  # fmt: skip
    made = [
        {"images": 60, "policy": "ours", "number": number, "seed": seed, "points": [9.0, points]}
        for number, all_points in ends.items()
        for seed, points in enumerate(all_points)
    ]
    assert list(describe(made))[2:] == [
        "| 60 | ours | accuracy | 2 | 3.00 [2.00…4.00] | – |",
        "| 60 | ours | arithmetic | 2 | 2.00 [1.00…3.00] | -1.00 [-1.00…-1.00] |",
        "| 60 | ours | root | 2 | 3.00 [2.00…4.00] | +0.00 [+0.00…+0.00] |",
        "| 60 | ours | geometric | 2 | 5.00 [4.00…6.00] | +2.00 [+2.00…+2.00] |",
    ]
