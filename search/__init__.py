"""Searches hyperparameters of image classifiers; `from search import Search` does so in Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.session.api.result import Result as Result
    from search.session.api.search import Search as Search
    from search.session.api.search import SearchProgress as SearchProgress

_PLACES = {
    "Result": "search.session.api.result",
    "Search": "search.session.api.search",
    "SearchProgress": "search.session.api.search",
}
"""These names are found here, and imported from their modules once somebody asks for them: workers
import this package, and need none of them.
"""


def __getattr__(name: str) -> Any:
    """Returns what `_PLACES` names. Raises `PreflightError` where the search isn't ready to run,
    with a sentence for each missing piece.
    """
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    preflight = import_module("search.preflight")
    preflight.check(preflight.IN_PYTHON)
    return getattr(import_module(_PLACES[name]), name)
