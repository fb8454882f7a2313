"""The choice of precision: by measured speed, float32 on ties."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch

from trainables.config import TrialConfig
from trainables.models import setup
from trainables.profiling import precision

CONFIG = TrialConfig(network="resnet10", image_size=32)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(2.0, "bfloat16"), (1.06, "bfloat16"), (1.04, "float32"), (0.5, "float32")],
)
def test_the_faster_one_wins_by_a_margin(
    monkeypatch: pytest.MonkeyPatch, ratio: float, expected: str
) -> None:
    speeds = {"float32": 100.0, "bfloat16": 100 * ratio}
    monkeypatch.setattr(precision, "_measure", lambda *_: speeds)
    found = precision.resolve(CONFIG, 1, "bfloat16")
    assert found == precision.PrecisionChoice(precision=expected, images_per_s=speeds)
    assert CONFIG.but(precision=found.precision).precision == expected


@pytest.mark.parametrize(
    ("native", "ratio", "expected"),
    [(True, 2.0, "bfloat16"), (False, 2.0, "float16"), (False, 1.0, "float32")],
)
def test_a_gpu_is_measured_in_what_it_computes(
    monkeypatch: pytest.MonkeyPatch, native: bool, ratio: float, expected: str
) -> None:
    """A fake GPU that emulates bfloat16, as torch reports it by default, or computes it."""
    asked: list[tuple[list[str], str]] = []

    def measure(
        config: TrialConfig, precisions: list[str], threads: int, device: torch.device
    ) -> dict[str, float]:
        asked.append((precisions, device.type))
        return {name: 100 * (1 if name == "float32" else ratio) for name in precisions}

    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(precision, "_measure", measure)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    found = precision.resolve(CONFIG, threads=1)
    half = "bfloat16" if native else "float16"
    assert asked == [(["float32", half], "cuda")]
    assert found.precision == expected
    assert found.images_per_s == {"float32": 100, half: 100 * ratio}
    precision.resolve(CONFIG.but(precision="float16"), threads=1)
    assert asked[1] == (["float16"], "cuda")
    found = precision.resolve(CONFIG, 1, "float16")
    assert found.precision == ("float32" if ratio == 1 else "float16")
    assert asked[2] == (["float32", "float16"], "cuda")


def test_a_gpu_has_finished_whenever_the_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: order.append("waited"))
    steps = precision._Steps(CONFIG.but(precision="float32"), 2, torch.device("cpu"))
    monkeypatch.setattr(precision, "train_step", lambda *_, **__: order.append("step"))
    steps.clock, steps.steps = precision.gpu_clock(torch.device("cuda")), 3
    assert steps.seconds() < 1
    assert order == ["waited", "step", "step", "step", "waited"]


@pytest.mark.parametrize(
    ("rates", "compiles", "asked"),
    [
        ({"float32": 500.0, "bfloat16": 900.0}, False, [True, True]),
        ({"float32": 0.0, "bfloat16": 900.0}, False, [True, False, False]),
        ({"float32": 500.0}, False, [True, True, False, False]),  # the other lacks memory
        ({"float32": 500.0, "bfloat16": 900.0}, True, [False, False]),
    ],
)
def test_a_gpu_s_precisions_are_compared_by_steps_of_one_kind(
    monkeypatch: pytest.MonkeyPatch, rates: dict[str, float], compiles: bool, asked: list[bool]
) -> None:
    kinds: list[bool] = []

    def rate(config: TrialConfig, device: torch.device, *, captured: bool = True) -> float:
        kinds.append(captured)
        if captured and config.precision not in rates:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rates[config.precision] if captured else 100.0

    monkeypatch.setattr(precision, "_gpu_rate", rate)
    monkeypatch.setattr(precision, "fork_rng", lambda _: nullcontext())
    config = CONFIG.but(compile=compiles)
    found = precision._measure(config, ["float32", "bfloat16"], 1, torch.device("cuda"))
    assert kinds == asked
    assert found == (rates if all(asked) else {"float32": 100.0, "bfloat16": 100.0})


@pytest.fixture
def small_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four images, for CPUs that emulate what is measured."""
    monkeypatch.setattr(precision, "_BATCH_GMACS", 0.01)


@pytest.mark.usefixtures("small_batch")
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_each_precision_can_be_measured(name: str) -> None:
    found = precision.resolve(CONFIG.but(precision=name, batch_size=4), threads=1)
    assert list(found.images_per_s) == [name]
    assert found.images_per_s[name] > 0


def emulates(device: torch.device) -> None:
    """A CPU that only emulates bfloat16."""


def computes(device: torch.device) -> str:
    """A CPU that computes bfloat16, or at least is asked to."""
    return "bfloat16"


@pytest.mark.usefixtures("small_batch")
@pytest.mark.parametrize(
    ("half", "measured"), [(computes, {"float32", "bfloat16"}), (emulates, {"float32"})]
)
def test_it_measures_what_a_cpu_computes_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, half: Callable[[torch.device], str | None], measured: set[str]
) -> None:
    monkeypatch.setattr(precision, "half_precision", half)
    torch.set_num_threads(2)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    found = precision.resolve(CONFIG, threads=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == 2
    assert set(found.images_per_s) == measured
    assert all(5 < speed < 1e5 for speed in found.images_per_s.values())
    assert found.precision in measured


@pytest.mark.parametrize(("native", "half"), [(True, "bfloat16"), (False, None)])
def test_a_cpu_tries_bfloat16_where_it_computes_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, half: str | None
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    cpu = torch.device("cpu")
    assert precision.half_precision(cpu) == half
    assert setup.computes("bfloat16", cpu) is native
    assert setup.computes("float32", cpu)
    assert not setup.computes("float16", cpu)


@pytest.mark.usefixtures("small_batch")
def test_a_given_precision_is_kept_and_measured_alone() -> None:
    found = precision.resolve(CONFIG.but(precision="bfloat16"), threads=1)
    assert found.precision == "bfloat16"
    assert list(found.images_per_s) == ["bfloat16"]


def test_batches_shrink_as_the_work_grows() -> None:
    assert precision.batch_size(CONFIG) == 64
    assert precision.batch_size(TrialConfig(network="resnet50", image_size=224)) == 4
