"""How much memory the training of a configuration needs."""

from trainables.catalog import kept_numbers, parameters
from trainables.config import TrialConfig

PROCESS_BYTES = 1 << 30
"""A worker's imports (Ray, torch, FFCV: 0.88 GiB) and what its loader holds."""

EXTERNAL_BYTES = 2 << 30
"""What a worker is allowed for where a library's network is trained, whose size isn't known."""

_COPIES, _AVERAGED_COPIES = 7, 2
"""Of every parameter: weight, gradient, two momenta, and all but the gradient once more while a
checkpoint is written. With `ema` its average too, and that one's copy."""

_ACTIVATIONS_MARGIN = 1.75
"""For their gradients and what convolutions work in, beside what is kept for the backward pass."""

_FEWEST_IMAGES = 64
"""An evaluation's 128 images, of which nothing is kept, take no more than these in training."""


def worker_bytes(config: TrialConfig) -> int:
    """Memory that a worker on CPUs needs to train `config` in float32: an upper estimate.

    The process, the copies of each parameter, and what the network keeps of each image for its
    backward pass, as if no stage were frozen. Peaks of a process that trained and evaluated, by
    `resource.getrusage` on one thread of an AMD EPYC (Zen 4, torch 2.14), once each, AdamW, batch
    64: ResNet-18 at 64 px 1.27 GiB, where the rule says 1.50; with `ema` at 224 px 3.28 and 3.74;
    ResNet-50 at 64 px 1.86 and 2.41. No checkpoint was written there.
    """
    count = parameters(config.network)
    kept = kept_numbers(config.network, config.image_size, config.stem)
    if count is None or kept is None:
        return EXTERNAL_BYTES
    copies = _COPIES + (_AVERAGED_COPIES if config.ema > 0 else 0)
    images = max(config.micro_batch_size or config.batch_size, _FEWEST_IMAGES)
    numbers = copies * count + _ACTIVATIONS_MARGIN * images * kept
    return PROCESS_BYTES + round(4 * numbers)
