"""How many CPU threads this process computes with."""

import torch


def set_threads(count: int) -> None:
    """For matrix products and convolutions alike. `count` must be ≥ 1."""
    torch.set_num_threads(count)
