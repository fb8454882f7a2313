"""The one pass over test: what it keeps, and that nobody needs another."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.access import open_final_data
from datasets.splits import FinalData
from results.predictions import read_predictions
from trainables.augmentation.batch import for_evaluation
from trainables.config import TrialConfig
from trainables.final_model import test_evaluation, training
from trainables.final_model.test_evaluation import open_test, predict, score
from trainables.models.setup import new_network
from trainables.training.evaluate import evaluate

CPU = torch.device("cpu")
CONFIG = TrialConfig(network="resnet10", image_size=32, precision="float32")


@pytest.fixture
def data(tiny_data: Path) -> FinalData:
    return open_final_data(tiny_data)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_scores_as_evaluation_does(data: FinalData, precision: str) -> None:
    config = CONFIG.but(precision=precision)
    network = new_network(config, 4, CPU)
    wanted = evaluate(network, data.test, data.images, config, CPU)
    found = score(predict(network, data.test, data.images, config, CPU))
    assert (found.top1, found.top5) == (wanted.top1, wanted.top5)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-6)


def test_mirrored_logits_are_those_of_mirrored_images(data: FinalData) -> None:
    network = new_network(CONFIG, 4, CPU)
    found = predict(network, data.test, data.images, CONFIG, CPU)
    pixels = test_evaluation._pixels(data.test, np.arange(len(data.test)))
    mirrored = torch.from_numpy(pixels[:, :, ::-1].copy())
    with torch.inference_mode():
        wanted = network(for_evaluation(mirrored, CONFIG, data.images))
    assert np.allclose(found.mirrored, wanted.numpy(), atol=1e-5)
    assert not np.allclose(found.mirrored, found.logits, atol=1e-3)
    mean = (found.logits + found.mirrored).argmax(1) == found.labels
    assert found.flip_averaged_top1() == mean.mean()


def test_test_is_opened_once_for_the_same_weights(
    data: FinalData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that was killed before its record was written reads back what test said."""
    network = new_network(CONFIG, 4, CPU)
    first = open_test(tmp_path, network, data, CONFIG, CPU)
    assert len(first.examples) >= 16
    wanted = test_evaluation._pixels(data.test, np.arange(len(data.test)))[first.examples]
    assert np.array_equal(first.pixels, wanted)

    opened = []
    predicted = test_evaluation.predict

    def counted(*given: object, **more: object) -> object:
        opened.append(given)
        return predicted(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(test_evaluation, "predict", counted)
    again = open_test(tmp_path, network, data, CONFIG, CPU)
    assert not opened
    assert np.array_equal(again.logits, first.logits)
    assert training.open_test is open_test
    with torch.no_grad():
        network.head.get_parameter("fc.bias").add_(1)
    open_test(tmp_path, network, data, CONFIG, CPU)
    assert len(opened) == 1
    assert read_predictions(tmp_path).origin != first.origin
