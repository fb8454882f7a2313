"""What Ray is asked for a training, from what its task says."""

from typing import Any

from ray import tune


def requested(task: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What Ray is asked for a training. A worker serves all that ask for the same."""
    wanted = {"CPU": task["threads"], "GPU": task["gpus"], "memory": task["memory"]}
    bundle = {name: amount for name, amount in wanted.items() if amount}
    if not task["apart_from"]:
        return tune.PlacementGroupFactory([bundle])
    selector = {"ray.io/node-id": f"!in({','.join(task['apart_from'])})"}
    return tune.PlacementGroupFactory([bundle], bundle_label_selector=[selector])
