"""Two Ray nodes of one core each on this machine, until standard input ends.

python -m tests.drills.two_nodes: prints one line of JSON, {"address": HOST:PORT, "pids": {"head":
{"raylet": PID, "gcs_server": PID}, "other": {"raylet": PID}}}.
"""

import json
import os
import socket
import sys
from typing import Any

from tests.drills.ray_hosts import QUICK


def pids(node: Any) -> dict[str, int]:
    """The processes that the node has started, by Ray's names for them."""
    return {kind: found[0].process.pid for kind, found in node.all_processes.items()}


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def main() -> None:
    os.environ.update(QUICK)
    from ray.cluster_utils import Cluster

    one_core = {"num_cpus": 1, "object_store_memory": 200 << 20}
    head = {"include_dashboard": True, "dashboard_port": free_port()}
    cluster = Cluster(initialize_head=True, head_node_args=one_core | head)
    other = cluster.add_node(**one_core)
    cluster.wait_for_nodes()
    found = {"head": pids(cluster.head_node), "other": pids(other)}
    print(json.dumps({"address": cluster.address, "pids": found}), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
