"""Images that run in parts: as many at once as said, and equal numbers."""

import pytest
import torch
from torch import Tensor, nn

from trainables.models.stage_runs import images_at_once, run, run_in_parts


@pytest.mark.parametrize(
    ("side", "count"), [(32, 256), (64, 64), (128, 16), (192, 7), (224, 5), (1024, 4)]
)
def test_images_at_once_hold_equally_many_pixels_and_are_at_least_four(
    side: int, count: int
) -> None:
    assert images_at_once(side) == count


class _Counting(nn.Conv2d):
    """Notes how many images each call gets."""

    seen: list[int]

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the base class's name
        self.seen.append(len(input))
        return super().forward(input)


@pytest.mark.parametrize(("images", "parts"), [(5, [5]), (35, [16, 16, 3])])
def test_images_run_in_parts(images: int, parts: list[int]) -> None:
    stages = [nn.Conv2d(3, 4, 3, stride=2), _Counting(4, 5, 3)]
    stages[1].seen = found = list[int]()
    batch = torch.randn(images, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        outputs = run_in_parts(stages, batch)
        assert found == parts
        torch.testing.assert_close(outputs, run(stages, batch))
    assert outputs.is_contiguous(memory_format=torch.channels_last)
