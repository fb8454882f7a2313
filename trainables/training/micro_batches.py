"""A batch in pieces where it is too large for the memory: how large they are, and how small."""

from trainables.config import TrialConfig

SMALLEST = 8
"""Images at once that `halve_micro_batch` stops at. BatchNorm's statistics get worse with fewer: a
ResNet-50 on ImageNet errs in 23.6 % with 32 at once, 23.7 with 16, 24.8 with 8, but 27.3 with 4 and
34.7 with 2 (Wu & He 2018, arXiv 1803.08494, table 2). What such a trial shows is no longer its
hyperparameters' merit."""


def piece_sizes(images: int, largest: int) -> list[int]:
    """Sizes of as few pieces as hold at most `largest` (≥ 2) images, equal but for one image.

    Each has two images at least, which BatchNorm needs: so with `largest` = 2 one of three takes
    the last image of an odd number.
    """
    pieces = max(1, min(-(-images // largest), images // 2))
    size, larger = divmod(images, pieces)
    return [size + 1] * larger + [size] * (pieces - larger)


def halve_micro_batch(config: TrialConfig) -> TrialConfig | None:
    """The same training with half as many images at once, or `None` below `SMALLEST` of them.

    For one more attempt where `config` ran out of memory. Its batches stay as large, so that
    learning rate and schedule mean what they meant.
    """
    at_once = piece_sizes(config.batch_size, config.micro_batch_size or config.batch_size)[0]
    half = -(-at_once // 2)
    return config.but(micro_batch_size=half) if half >= SMALLEST else None
