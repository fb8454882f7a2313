"""Who reaches what a search starts: this machine alone, unless it is asked to be open to others."""

import ipaddress
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

AUTH_MODE, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"


def loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`; never of a name but localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_required(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether Ray asks everybody for its token, as it does unless a variable turns that off."""
    mode = environment.get(AUTH_MODE)
    return mode is None or mode.lower() == "token"


def asks_for_token(dashboard: str) -> bool | None:
    """Whether the cluster whose dashboard listens at HOST:PORT does; `None` where that can't be
    asked. A cluster that was begun where no token lay, by `ray start`, has none.
    """
    try:
        with urlopen(f"http://{dashboard}/api/authentication_mode", timeout=5) as answer:
            return str(json.load(answer)["authentication_mode"]) != "disabled"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def how_to_enter_cluster(dashboard: str) -> str:
    """The same of a cluster that was joined, which has its own mind about tokens."""
    asks = asks_for_token(dashboard)
    if asks is None:
        return "where it asks for a token: type `ray get-auth-token`"
    if asks:
        return how_to_enter({})
    return (
        "it asks for no token, and so does nothing else of this cluster: whoever reaches it over "
        f"the network can run code there; type `ray get-auth-token --generate`, copy "
        f"~/.ray/auth_token to all nodes, and start Ray anew with {AUTH_MODE}=token"
    )


def how_to_enter(environment: Mapping[str, str] = os.environ) -> str:
    """What the dashboard asks for, in words."""
    if token_required(environment):
        return "it asks for a token: type `ray get-auth-token`"
    return f"it asks for no token, as {AUTH_MODE} says"


def stay_on_this_machine() -> None:
    """Has all of Ray's servers listen on 127.0.0.1 instead of on every address. Call it before Ray
    is imported.

    Not only the dashboard listens: ports for metrics answer anybody, without a token. The variable
    is what Ray itself goes by on systems where it can't be a cluster.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def keep_token_private() -> None:
    """Takes Ray's token from the machine's other users, for whom Ray's file is readable."""
    path = Path(os.environ.get(TOKEN_PATH) or Path.home() / ".ray" / "auth_token")
    with suppress(OSError):  # there is none, or it is somebody else's to keep
        path.chmod(0o600)
