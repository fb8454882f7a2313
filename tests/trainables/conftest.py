"""A small final training that tests read, and one thread for torch in every test here."""

from pathlib import Path

import pytest

from trainables import final
from trainables.config import TrialConfig

SMALL = TrialConfig(
    network="resnet10", image_size=32, batch_size=16, epochs=1, lr=2e-3, precision="float32"
)


@pytest.fixture(autouse=True)
def one_thread(one_thread: None) -> None:
    """Every test of trainings gets the fixture of this name."""


@pytest.fixture(scope="session")
def trained(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a final training of `SMALL`. Read it, don't write there."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "best.yaml").write_text(
        f"config: {SMALL.to_dict()}\ndataset: {tiny_data.name}\n", encoding="utf-8"
    )
    data = ["--data", str(tiny_data.parent), "--threads", "1"]
    assert final.main(["--config", str(folder / "best.yaml"), *data]) == 0
    return folder / "final"
