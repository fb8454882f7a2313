from pathlib import Path

import pytest

from datasets.prepare import prepare


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the demo is prepared. Read it, don't write there."""
    data = tmp_path_factory.mktemp("data")
    prepare("demo", data=data, workers=1)
    return data
