"""States what a trial needs of a GPU, free of torch, for what measures it and what plans by it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuNeed:
    """Holds what the largest training takes of a GPU, and what is free there, in bytes.

    needed_bytes: what the process of a trial takes at most, without the dataset's images.
    free_bytes: what other processes leave of the GPU where that was measured; the process that
        measured is none of them.
    micro_batch_size: the largest number of images at once that was found to fit, or `None` where a
        whole batch fits.
    """

    needed_bytes: int
    free_bytes: int
    micro_batch_size: int | None = None
