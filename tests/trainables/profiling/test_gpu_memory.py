from types import SimpleNamespace

import pytest
import torch

from trainables.config import TrialConfig
from trainables.profiling import gpu_memory
from trainables.training.ema import WeightAverage


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize(
    ("at_once", "seen", "precision"),
    [(None, [4, 4, 128], "float32"), (2, [2, 2, 2, 2, 2], "float16")],
)
def test_two_steps_and_an_evaluated_batch_are_taken_before_the_peak_is_read(
    monkeypatch, at_once, seen, precision, average
):
    """The CUDA calls stand in; the steps are real, on the CPU, with an average of the weights."""
    shapes, sizes, order = [], [], []
    step, build = gpu_memory.train_step, gpu_memory.build

    def spy(network, optimizer, images, labels, config, weights, scaler):
        shapes.append(tuple(images.shape))
        order.append("step")
        assert (scaler is not None) == (precision == "float16")
        return step(network, optimizer, images, labels, config, weights, scaler)

    def watched(*arguments):
        network = build(*arguments)
        network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        return network

    update = WeightAverage.update

    def averaged(self):
        order.append("average")
        update(self)

    monkeypatch.setattr(gpu_memory, "train_step", spy)
    monkeypatch.setattr(gpu_memory, "build", watched)
    monkeypatch.setattr(WeightAverage, "update", averaged)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: order.append("reset"))
    monkeypatch.setattr(
        torch.cuda, "max_memory_reserved", lambda _: order.append("peak") or 5_000_000_000
    )
    properties = SimpleNamespace(total_memory=40_000_000_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    config = TrialConfig(
        network="resnet10", batch_size=4, micro_batch_size=at_once, image_size=32, ema=average,
        precision=precision,
    )  # fmt: skip
    needed, total = gpu_memory.needed_bytes(config, torch.device("cpu"), image_bytes=7)
    assert needed == 5_000_000_007 + gpu_memory.CONTEXT_BYTES + gpu_memory.FEATURE_CACHE_BYTES
    assert total == 40_000_000_000
    assert shapes == [(4, 3, 32, 32)] * 2
    assert sizes == seen
    steps = ["step", "average"] if average else ["step"]
    assert order == ["reset", *steps, *steps, "peak"]
