"""The choice of precision: by measured speed, float32 on ties."""

import pytest
import torch

from trainables.config import TrialConfig
from trainables.profiling import precision

CONFIG = TrialConfig(network="resnet10", image_size=32)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(2.0, "bfloat16"), (1.06, "bfloat16"), (1.04, "float32"), (0.5, "float32")],
)
def test_the_faster_one_wins_by_a_margin(
    monkeypatch: pytest.MonkeyPatch, ratio: float, expected: str
) -> None:
    speeds = {"float32": 100.0, "bfloat16": 100 * ratio}
    monkeypatch.setattr(precision, "_measure", lambda *_: speeds)
    found = precision.resolve(CONFIG, threads=1)
    assert found == precision.PrecisionChoice(precision=expected, images_per_s=speeds)
    assert CONFIG.but(precision=found.precision).precision == expected


def test_it_measures_both_and_leaves_no_trace() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    found = precision.resolve(CONFIG, threads=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == 2
    assert set(found.images_per_s) == {"float32", "bfloat16"}
    assert all(5 < speed < 1e5 for speed in found.images_per_s.values())


def test_a_given_precision_is_kept_and_measured_alone() -> None:
    found = precision.resolve(CONFIG.but(precision="bfloat16"), threads=1)
    assert found.precision == "bfloat16"
    assert list(found.images_per_s) == ["bfloat16"]


def test_batches_shrink_as_the_work_grows() -> None:
    assert precision.batch_size(CONFIG) == 64
    assert precision.batch_size(TrialConfig(network="resnet50", image_size=224)) == 4
