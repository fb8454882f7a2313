"""Divides the hardware of a machine or of a cluster among the trials of a search."""

from functools import partial

from search.config.options import SearchOptions
from search.hardware.allocation import Resources, allocate, allocate_nodes
from search.hardware.machine import Cluster, Machine


def allocate_resources(
    options: SearchOptions, here: Machine, cluster: Cluster | None, needed: int, gpus_per_trial: str
) -> Resources:
    """Returns how many trials run at once, on this machine or on the nodes of a cluster.

    needed: the memory that the largest trial needs, in bytes.
    gpus_per_trial: `auto` or a number, the share of a GPU for each trial.
    """
    allocate_all = (
        partial(allocate, here)
        if cluster is None
        else partial(allocate_nodes, cluster.nodes, gpus_only=options.gpu_hours > 0)
    )
    return allocate_all(
        concurrency=options.concurrency,
        gpus_per_trial=gpus_per_trial,
        trials=options.trials,
        worker_bytes=needed,
    )
