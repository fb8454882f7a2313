"""What a trial needs of a GPU: real steps of a small network on the CPU, with made-up answers of
`torch.cuda`.
"""

import pytest
import torch

from tests.trainables.training.small_network import build_small
from trainables.config import TrialConfig
from trainables.profiling import gpu_memory, training_steps
from trainables.profiling.gpu_memory import measure_need
from trainables.profiling.gpu_need import GpuNeed
from trainables.training import step as training
from trainables.training.auxiliary_state import AuxiliaryState
from trainables.training.evaluate import FEATURE_CACHE_BYTES
from trainables.training.memory import CONTEXT_BYTES, out_of_memory

CPU = torch.device("cpu")
CONFIG = TrialConfig(network="resnet10", batch_size=32, image_size=32, precision="float32")
GIB = 1 << 30


class FakeCuda:
    """Answers for `torch.cuda`, and counts the images of each pass.

    free: the memory that other processes leave, and that this process takes `own` of.
    per_image: the peak's bytes for each image at once.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, *, free: int = 40 * GIB, own: int = 0, per_image: int = 0
    ) -> None:
        self.passes: list[int] = []

        def watched(_config, classes):
            network = build_small(classes)
            network.register_forward_pre_hook(lambda _, inputs: self.passes.append(len(inputs[0])))
            return network

        patch.setattr(training_steps, "build", watched)
        patch.setattr(gpu_memory, "reset_peak", lambda _: self.passes.clear())
        patch.setattr(gpu_memory, "peak_bytes", lambda _: GIB + per_image * self.passes[0])
        patch.setattr(torch.cuda, "mem_get_info", lambda _: (free - own - CONTEXT_BYTES, 80 * GIB))
        patch.setattr(torch.cuda, "memory_reserved", lambda _: own)


@pytest.mark.parametrize("freezes", [False, True])
def test_the_need_is_the_peak_with_what_lies_beside_it(
    monkeypatch: pytest.MonkeyPatch, freezes: bool
) -> None:
    cuda = FakeCuda(monkeypatch, own=3 * GIB)
    found = measure_need(CONFIG, CPU, freezes=freezes)
    stored = FEATURE_CACHE_BYTES if freezes else 0
    assert found == GpuNeed(
        needed_bytes=GIB + CONTEXT_BYTES + stored, free_bytes=40 * GIB, micro_batch_size=None
    )
    assert cuda.passes == [32, 32, 128]  # two steps, and an evaluated batch


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"micro_batch_size": 16}, [16, 16, 16, 16, 16]),
        ({"batch_size": 4, "precision": "float16", "ema": 0.9}, [4, 4, 128]),
    ],
)
def test_it_trains_as_the_configuration_says(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], passes: list[int]
) -> None:
    cuda = FakeCuda(monkeypatch)
    config = CONFIG.but(**changes)
    optimizers, averages, scalers = [], [], []
    step = training.train_step

    def watched(network, optimizer, images, labels, config, weights, scaler):
        optimizers.append(type(optimizer).__name__)
        scalers.append(scaler is not None)
        return step(network, optimizer, images, labels, config, weights, scaler)

    monkeypatch.setattr(training, "train_step", watched)
    update = AuxiliaryState.after_step
    monkeypatch.setattr(
        AuxiliaryState,
        "after_step",
        lambda self: (averages.append(self.average is not None), update(self)),
    )
    need = measure_need(config, CPU, freezes=False)
    assert (cuda.passes, need.micro_batch_size) == (passes, config.micro_batch_size)
    assert optimizers == ["AdamW"] * 2
    assert scalers == [config.precision == "float16"] * 2
    assert averages == [config.ema > 0] * 2


@pytest.mark.parametrize(
    ("free", "at_once"), [(36 * GIB, None), (20 * GIB, 16), (10 * GIB, 8), (9 * GIB, None)]
)
def test_what_does_not_fit_is_halved_until_it_fits(
    monkeypatch: pytest.MonkeyPatch, free: int, at_once: int | None
) -> None:
    """At 1 GiB for each image and 1.6 GiB beside them, 32, 16 or 8 images fit, or not even 8."""
    FakeCuda(monkeypatch, free=free, per_image=GIB)
    if free == 9 * GIB:
        with pytest.raises(torch.OutOfMemoryError, match=r"bytes are needed, but \d+ are free"):
            measure_need(CONFIG, CPU, freezes=False)
        return
    found = measure_need(CONFIG, CPU, freezes=False)
    assert found.micro_batch_size == at_once
    assert found.needed_bytes == GIB * (1 + (at_once or 32)) + CONTEXT_BYTES


@pytest.mark.parametrize(
    ("error", "handled"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: no kernel image is available for execution"), False),
    ],
)
def test_only_want_of_memory_in_a_step_is_answered_by_smaller_pieces(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError, handled: bool
) -> None:
    FakeCuda(monkeypatch)
    step = training.train_step

    def failing(network, optimizer, images, labels, config, *rest):
        if config.micro_batch_size is None:
            raise error
        return step(network, optimizer, images, labels, config, *rest)

    monkeypatch.setattr(training, "train_step", failing)
    if handled:
        assert measure_need(CONFIG, CPU, freezes=False).micro_batch_size == 16
        return
    with pytest.raises(RuntimeError) as caught:
        measure_need(CONFIG, CPU, freezes=False)
    assert caught.value is error
    assert not out_of_memory(error)
