"""What holds for the options that reach beyond this machine."""

import re

from common.remote import is_place

_PLACE = (
    "must be an absolute path, or a URI without a key in it (keys come from each node's role or "
    "environment, e.g. AWS_ACCESS_KEY_ID)"
)
_CLIENT = (
    "must be auto or HOST:PORT of a cluster that this machine is a node of (through Ray Client "
    "Tune would run the search on the head node, away from the run's files: log in there, e.g. by "
    "`ray attach cluster.yaml`, and use auto)"
)
_ADDRESS = re.compile(r"auto|[^\s/]+:\d{1,5}")


def cluster_rules(address: str, data_uri: str, storage: str) -> list[tuple[bool, str, str]]:
    """(whether it holds, the option's name, the rule) of each."""
    client = address.startswith("ray://")
    return [
        (not client, "address", _CLIENT),
        (not address or client or _ADDRESS.fullmatch(address) is not None, "address",
         "must be auto or HOST:PORT"),
        (not data_uri or is_place(data_uri), "data_uri", _PLACE),
        (not storage or is_place(storage), "storage", _PLACE),
    ]  # fmt: skip
