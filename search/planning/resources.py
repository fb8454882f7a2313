"""Divides the hardware of a machine or of a cluster among the trials of a search."""

from functools import partial

from search.config.options import SearchOptions
from search.hardware.allocation import Resources, allocate, allocate_nodes, trials_asked
from search.hardware.machine import Cluster, Machine


def allocate_resources(
    options: SearchOptions,
    here: Machine,
    cluster: Cluster | None,
    needed: int,
    per_gpu: int | None = None,
) -> Resources:
    """Returns how many trials run at once, on this machine or on the nodes of a cluster.

    needed: the memory that the largest trial needs, in bytes.
    per_gpu: how many trials share a GPU at most (default: as `--gpus-per-trial` asks).
    """
    allocate_all = (
        partial(allocate, here)
        if cluster is None
        else partial(allocate_nodes, cluster.nodes, gpus_only=options.gpu_hours > 0)
    )
    return allocate_all(
        concurrency=options.concurrency,
        per_gpu=trials_asked(options.gpus_per_trial) if per_gpu is None else per_gpu,
        trials=options.trials,
        worker_bytes=needed,
    )
