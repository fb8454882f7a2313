"""Parameters counted exactly, and the latency that a clock of the test's own makes."""

import pytest
import torch

from trainables.config import TrialConfig
from trainables.models.network import build
from trainables.models.setup import prepare_network
from trainables.profiling import latency

CONFIG = TrialConfig(network="resnet10", image_size=32, precision="float32")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_SECONDS", 0.0)


def parameters(config: TrialConfig, num_classes: int) -> float:
    return latency.network_costs(config, num_classes).parameters_m


def test_parameters_are_those_of_torchvision_s_resnet18() -> None:
    assert parameters(CONFIG.but(network="resnet18"), 1000) == 11.689512


def test_a_head_counts_and_frozen_stages_count_too() -> None:
    plain = parameters(CONFIG, 20)
    # 512 × 64 + 64 and 64 × 20 + 20 in the place of 512 × 20 + 20
    assert parameters(CONFIG.but(head_width=64), 20) == pytest.approx(
        plain + (512 * 64 + 64 + 64 * 20 + 20 - 512 * 20 - 20) / 1e6, abs=1e-12
    )
    assert parameters(CONFIG.but(freeze_depth=5), 20) == plain


def test_the_fastest_pass_after_the_warm_up_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    warm_up, passes = [0.5, 0.0001, 0.3], [0.2, 0.04, 0.03162, *[0.1] * 7]
    times = [0.0]
    for seconds in (*warm_up, *passes):
        times += [times[-1], times[-1] + seconds]
    ticks = iter(times[1:])
    monkeypatch.setattr(latency, "_clock", lambda device: lambda: next(ticks))
    network = prepare_network(build(CONFIG, 20), CONFIG, CPU)
    assert latency.latency_ms(network, CONFIG, CPU) == 32.0
    assert next(ticks, None) is None  # ten passes, and no more where they take long enough


def test_the_network_is_run_as_it_would_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    config = CONFIG.but(image_size=64, precision="bfloat16", dropout=0.5)
    network = prepare_network(build(config, 20), config, CPU).train()
    network.register_forward_hook(
        lambda module, images, logits: seen.append(
            (
                module.training,
                tuple(images[0].shape),
                logits.dtype,
                torch.is_inference_mode_enabled(),
            )
        )
    )
    assert latency.latency_ms(network, config, CPU) > 0
    assert set(seen) == {(False, (1, 3, 64, 64), torch.bfloat16, True)}


def test_one_thread_counts_the_time_for_which_it_has_a_core() -> None:
    import time

    assert latency._clock(CPU) is time.thread_time
    torch.set_num_threads(2)
    assert latency._clock(CPU) is time.perf_counter


def test_it_leaves_no_trace_in_what_is_random() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    latency.network_costs(CONFIG, 20)
    assert torch.equal(torch.rand(1), expected)
