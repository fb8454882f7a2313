"""Estimates how much memory the training of a configuration needs."""

from trainables.catalog import activation_count, parameters
from trainables.config import TrialConfig

PROCESS_BYTES = 1 << 30
"""A worker's process takes this much memory, in bytes, for its imports (Ray, torch and FFCV take
0.88 GiB) and its loader's buffers.
"""

EXTERNAL_BYTES = 2 << 30
"""A worker that trains a network from a library, whose size isn't known, is assumed to need this
much memory, in bytes.
"""

_COPIES, _AVERAGED_COPIES = 7, 2
"""Training holds this many copies of every parameter: weight, gradient, two momenta, and all but
the gradient once more while a checkpoint is written. With `ema` there are two more: the average and
its copy in the checkpoint.
"""

_ACTIVATIONS_MARGIN = 1.75
"""The memory of the activations that the backward pass needs is multiplied by this factor, which
allows for their gradients and for the convolutions' workspace.
"""

_FEWEST_IMAGES = 40
"""Memory is estimated for at least this many training images. Evaluating 128 images, whose
activations are dropped, takes no more memory than training on these: by the peak memory of a
process, as much as the estimate has for 6 (ResNet-101), 11 (EfficientNet-Lite0) or 37 images
(mini_alexnet).
"""


def worker_bytes(config: TrialConfig) -> int:
    """Returns an upper estimate of the memory, in bytes, that a worker on CPUs needs to train
    `config` in float32.

    The estimate adds the process, the copies of each parameter, and the activations that the
    network keeps for the backward pass, as if no stage were frozen. It was compared with the peak
    memory of a process that trained and evaluated (`resource.getrusage`, one thread of an AMD EPYC
    (Zen 4), torch 2.14, one measurement each, AdamW, batch 64, without a checkpoint): ResNet-18 at
    64 px took 1.27 GiB where the estimate is 1.50; with `ema` at 224 px 3.28 and 3.74; ResNet-50 at
    64 px 1.86 and 2.41. EfficientNet-Lite0 at 224 px took 5.7 and 9.7, and in batches of 32 3.6 and
    6.5.
    """
    count = parameters(config.network)
    activations = activation_count(config.network, config.image_size, config.stem)
    if count is None or activations is None:
        return EXTERNAL_BYTES
    copies = _COPIES + (_AVERAGED_COPIES if config.ema > 0 else 0)
    images = max(config.micro_batch_size or config.batch_size, _FEWEST_IMAGES)
    numbers = copies * count + _ACTIVATIONS_MARGIN * images * activations
    return PROCESS_BYTES + round(4 * numbers)
