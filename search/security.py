"""Decides who can reach the servers that a search starts: only this machine, unless the user opens
them to others.
"""

import ipaddress
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

AUTH_MODE, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"
"""Ray reads from these environment variables whether it requires a token, and where the token's
file lies.
"""


def loopback(host: str) -> bool:
    """Returns whether only this machine can reach a server that listens on `host`. Names other than
    localhost count as reachable.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_required(environment: Mapping[str, str] = os.environ) -> bool:
    """Returns whether Ray requires its token, which it does unless a variable in `environment`
    turns that off.
    """
    mode = environment.get(AUTH_MODE)
    return mode is None or mode.lower() == "token"


def asks_for_token(dashboard: str) -> bool | None:
    """Returns whether the cluster whose dashboard listens at HOST:PORT requires a token, or `None`
    where the dashboard doesn't answer. A cluster that `ray start` began without a token file
    requires none.
    """
    try:
        with urlopen(f"http://{dashboard}/api/authentication_mode", timeout=5) as answer:
            return str(json.load(answer)["authentication_mode"]) != "disabled"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def how_to_enter_cluster(dashboard: str) -> str:
    """Returns how to enter the dashboard of a cluster that was started outside of the search, as
    part of a sentence. Such a cluster has its own setting for tokens, which is asked for at
    `dashboard`.
    """
    asks = asks_for_token(dashboard)
    if asks is None:
        return "where it asks for a token: type `ray get-auth-token`"
    if asks:
        return how_to_enter({})
    return (
        "it asks for no token, and neither does anything else of this cluster: anyone who reaches "
        f"it over the network can run code there; type `ray get-auth-token --generate`, copy "
        f"~/.ray/auth_token to all nodes, and start Ray anew with {AUTH_MODE}=token"
    )


def how_to_enter(environment: Mapping[str, str] = os.environ) -> str:
    """Returns how to enter the dashboard that the search starts, as part of a sentence."""
    if token_required(environment):
        return "it asks for a token: type `ray get-auth-token`"
    return f"it asks for no token, because of {AUTH_MODE}"


def stay_on_this_machine() -> None:
    """Makes all of Ray's servers listen on 127.0.0.1 instead of on every address. It must be called
    before Ray is imported.

    The dashboard isn't the only server: ports for metrics answer anybody, without a token. The
    variable set here is the one that Ray itself consults on systems where it can't form a cluster.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def keep_token_private() -> None:
    """Removes other users' permission to read Ray's token, because Ray creates the file readable
    for them.
    """
    path = Path(os.environ.get(TOKEN_PATH) or Path.home() / ".ray" / "auth_token")
    with suppress(OSError):  # the file is missing or belongs to another user
        path.chmod(0o600)
