"""Decides who may see a run's page: who asks for it by the right name, and with its token."""

import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

_LOCAL = ("localhost", "127.0.0.1", "::1")


class Access:
    """Knows the token of a page, and the secret by which a browser is known once it has sent that.

    A browser sends a cookie to every port of a host, and so to servers of other people. The cookie
    therefore holds nothing but a random secret, which opens this one page while its server runs.

    token: what a browser has to send, or `None` where everyone who reaches the server may look.
    port: the server's port. Pages of one host need cookies of different names.
    alone: whether only this machine can reach the server.
    """

    def __init__(self, token: str | None, port: int, *, alone: bool) -> None:
        assert token or alone, "what others can reach needs a token"
        self._token, self._alone = token, alone
        self._name, self._secret = f"run-page-{port}", secrets.token_urlsafe()

    def is_own_name(self, host: str) -> bool:
        """Returns whether a browser asks for this machine by its own name, as its header `host`
        says. A foreign name that leads here would make a foreign site's script the page's owner.
        """
        try:
            return not self._alone or urlsplit(f"//{host}").hostname in _LOCAL
        except ValueError:
            return False

    def may_look(self, tokens: Sequence[str], authorization: str, cookies: str) -> bool:
        """Returns whether a request may be answered: with these `tokens` in its address, and with
        the headers `authorization` and `cookies`.
        """
        if self._token is None:
            return True
        kind, _, bearer = authorization.partition(" ")
        sent = [*tokens, *([bearer] if kind.lower() == "bearer" else [])]
        return _holds(sent, self._token) or _holds(_values(cookies, self._name), self._secret)

    def cookie(self) -> str:
        """Returns the header that has a browser keep the secret. A browser sends such a cookie also
        when a link on another site leads here, but not when that site asks behind one's back.
        """
        return f"{self._name}={self._secret}; Path=/; HttpOnly; SameSite=Lax"


def _values(header: str, name: str) -> list[str]:
    """Returns the values of the cookies with a name. Python's parser fails at, or stops before,
    what it doesn't know; other servers of the host may have set such cookies.
    """
    pairs = (each.strip().partition("=") for each in header.split(";"))
    return [value for key, _, value in pairs if key == name]


def _holds(sent: Sequence[str], secret: str) -> bool:
    """Returns whether the secret was sent, in a time that tells nothing about it."""
    right = secret.encode()
    return any(secrets.compare_digest(each.encode("utf-8", "replace"), right) for each in sent)
