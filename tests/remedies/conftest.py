"""Fixtures of other folders' tests that cases use."""

from tests.datasets.sources.test_download import server
from tests.trainables.conftest import trained

__all__ = ["server", "trained"]
