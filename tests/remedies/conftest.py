"""Fixtures of other folders' tests that cases use."""

from tests.datasets.sources.test_download import server
from tests.remedies.searches import plan_quickly, searched
from tests.trainables.conftest import trained

__all__ = ["plan_quickly", "searched", "server", "trained"]
