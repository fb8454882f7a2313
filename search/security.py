"""Decides who can reach the servers that a search starts: only this machine, unless the user opens
them to others.
"""

import ipaddress
import json
import os
import secrets
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from common.cli import quote
from common.errors import UserError

AUTH_MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
"""Ray reads from these environment variables whether it requires a token, the token itself, and
where the token's file lies.
"""

_DIRECT = build_opener(ProxyHandler({}))
"""A cluster's dashboard is asked without the proxy that leads to the internet."""


class TokenError(UserError):
    """Reports a token of Ray that others may know. The message names its file and the remedy."""


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
        with _DIRECT.open(f"http://{dashboard}/api/authentication_mode", timeout=5) as answer:
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
        return f"it asks for a token: type `{token_command(environment)}`"
    return f"it asks for no token, because of {AUTH_MODE}"


def token_command(environment: Mapping[str, str] = os.environ) -> str:
    """Returns the command that prints Ray's token, from wherever `environment` has it."""
    named = f"{TOKEN_PATH}={quote(path)} " if (path := environment.get(TOKEN_PATH)) else ""
    return f"{named}ray get-auth-token"


def stay_on_this_machine() -> None:
    """Makes all of Ray's servers listen on 127.0.0.1 instead of on every address. It must be called
    before Ray is imported.

    The dashboard isn't the only server: ports for metrics answer anybody, without a token. The
    variable set here is the one that Ray itself consults on systems where it can't form a cluster.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def bypass_proxies(environment: MutableMapping[str, str] = os.environ) -> None:
    """Excepts this machine from the proxies in `environment`, where there are any: what Ray's
    processes send each other never leaves it.
    """
    if not any(name.lower().endswith("_proxy") for name in environment):
        return
    known = ",".join(filter(None, (environment.get(name) for name in ("no_proxy", "NO_PROXY"))))
    hosts = [*filter(None, known.split(",")), "localhost", "127.0.0.1", "::1"]
    for name in ("no_proxy", "NO_PROXY"):
        environment[name] = ",".join(dict.fromkeys(hosts))


def check_token(environment: Mapping[str, str] = os.environ) -> None:
    """Raises `TokenError` where others could read the token that Ray would use, and nothing can be
    done about it here.
    """
    path = _token_file(environment)
    if path is not None:
        _keep_private(path)


def read_token(environment: Mapping[str, str] = os.environ) -> str | None:
    """Returns Ray's token, or `None` where there is none yet or Ray requires none."""
    if token_required(environment) and (given := environment.get(TOKEN)):
        return given.strip()
    path = _token_file(environment)
    try:
        return path.read_text(encoding="utf-8").strip() if path else None
    except (OSError, UnicodeDecodeError):
        return None


def prepare_token(spare: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Makes sure, before Ray starts, that there is a token, in a file that this user alone can
    read. Ray itself would write one that others can read at first.

    spare: the file that takes the token where the home folder can't.

    Raises `TokenError` as `check_token` does.
    """
    if not token_required(environment) or environment.get(TOKEN):
        return
    path = _token_file(environment)
    if path is None or not (_keep_private(path) or (_make_token(path) and _keep_private(path))):
        if path is not None and environment.get(TOKEN_PATH):
            raise _refuse(path, "can't be made")
        path = spare
        _make_token(spare)
    if path != _home_file(environment):
        environment[TOKEN_PATH] = str(path)


def _token_file(environment: Mapping[str, str]) -> Path | None:
    """Returns the file from which Ray would read its token, or `None` where it reads none."""
    if not token_required(environment) or environment.get(TOKEN):
        return None
    named = environment.get(TOKEN_PATH)
    return Path(named) if named else _home_file(environment)


def _home_file(environment: Mapping[str, str]) -> Path | None:
    home = environment.get("HOME")
    return Path(home) / ".ray" / "auth_token" if home else None


def _keep_private(path: Path) -> bool:
    """Returns whether the token's file exists, after other users' permissions are removed. Raises
    `TokenError` where that fails.
    """
    try:
        facts = path.stat()
    except OSError:  # where a home folder can't be searched, none can be made either
        return False
    why = ""
    if facts.st_uid != os.geteuid():
        why = f"belongs to the user {facts.st_uid}"
    else:
        try:
            if facts.st_mode & 0o077:
                path.chmod(0o600)
            path.open("rb").close()
        except OSError as error:
            why = f"isn't: {error.strerror}"
        if path.stat().st_mode & 0o077:
            why = why or "stays open to others on its disk"
    if why:
        raise _refuse(path, why)
    return True


def _refuse(path: Path, why: str) -> TokenError:
    return TokenError(
        f"Ray's token must be a file of yours that you alone can read, but {path} {why}; "
        f"remove it, or name a new file in a folder of yours by {TOKEN_PATH}."
    )


def _make_token(path: Path) -> bool:
    """Writes a new token into a file that no other user can read at any moment. Returns whether
    there is one then, which another search may have made in the same moment.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(made, secrets.token_hex(32).encode())
            os.link(new, path)
        finally:
            os.close(made)
            new.unlink()
    except FileExistsError:
        return path.exists()
    except OSError:
        return False
    return True
