"""Adds those ranges to a run's manifest that were first met by a trial."""

from collections.abc import Callable
from typing import Any

from results.analysis.searched_ranges import SearchedRange, read_ranges
from results.store import RunStore
from search.study.searched_ranges import Drawn


class RangeWatch:
    """Compares the ranges of each proposed trial with those in the run's `manifest`, writes new
    ones to it, and calls `warn` with a note on each of them.
    """

    def __init__(
        self, store: RunStore, manifest: dict[str, Any], warn: Callable[[str], object]
    ) -> None:
        self._store, self._manifest, self._warn = store, manifest, warn
        self._known = {(each.name, each.distribution) for each in read_ranges(manifest)}

    def __call__(self, trial: Drawn) -> None:
        """Adds those ranges of a trial that weren't known before."""
        new = [each for each in trial.distributions.items() if each not in self._known]
        for name, distribution in new:
            found = SearchedRange(name=name, distribution=distribution, condition=None, later=True)
            self._known.add((name, distribution))
            self._manifest["searched"]["ranges"].append(found.to_json())
            self._warn(f"note: a trial met another range of {name}: {found.describe()}.")
        if new:
            self._store.write_manifest(self._manifest)
