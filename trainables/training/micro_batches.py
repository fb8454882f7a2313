"""Divides a batch that is too large for the memory into pieces, and chooses their size."""

from trainables.config import TrialConfig

SMALLEST = 8
"""`halve_micro_batch` stops at this many images at once.

BatchNorm's statistics get worse with fewer images: a ResNet-50 on ImageNet has an error of 23.6 %
with 32 images at once, 23.7 with 16, 24.8 with 8, but 27.3 with 4 and 34.7 with 2 (Wu & He 2018,
arXiv 1803.08494, table 2). A trial with fewer images would no longer show the merit of its
hyperparameters.
"""


def piece_sizes(images: int, largest: int) -> list[int]:
    """Returns the sizes of as few pieces as hold at most `largest` (≥ 2) images each.

    The sizes differ by at most one image. Each piece has at least two images, which BatchNorm
    needs; so if the number of images is odd and `largest` is 2, one piece has three images.
    """
    pieces = max(1, min(-(-images // largest), images // 2))
    size, larger = divmod(images, pieces)
    return [size + 1] * larger + [size] * (pieces - larger)


def halve_micro_batch(config: TrialConfig) -> TrialConfig | None:
    """Returns the configuration with half as many images at once, or `None` below `SMALLEST` of
    them.

    The result is for one more attempt after `config` ran out of memory. The batches stay as large,
    so learning rate and schedule mean the same.
    """
    at_once = piece_sizes(config.batch_size, config.micro_batch_size or config.batch_size)[0]
    half = -(-at_once // 2)
    return config.but(micro_batch_size=half) if half >= SMALLEST else None
