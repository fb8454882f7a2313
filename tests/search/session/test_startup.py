"""What a search measures before its first trial, and which of it counts later."""

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.records import TrainingId
from search.hardware.calibration import CalibrationStore, Measurement
from search.hardware.training_speed import Source
from search.planning.plan import Plan
from search.session.startup import find_measurement, start_measurement
from tests.search.session_on_curves import opened, planned, search
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig


class FakeProcess:
    """Measures a rate that grows with each measurement, without torch."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def submit(self, function: Any, *args: Any, **kwargs: Any) -> "Future[Measurement]":
        self.asked.append(args)
        rate = 100.0 * len(self.asked)
        precision = "bfloat16" if args[0].precision == "auto" else args[0].precision
        future: Future[Measurement] = Future()
        future.set_result(Measurement(precision=precision, images_per_s={precision: rate}))
        return future


@pytest.fixture
def plan(tiny_data: Path, tmp_path: Path) -> Plan:
    return planned(tmp_path, tiny_data, {}, name="new", trials=4)


def test_a_speed_is_measured_once_and_again_if_asked(plan: Plan) -> None:
    torch: Any = FakeProcess()
    assert find_measurement(plan) is None
    first, why = start_measurement(plan, torch, anew=False)()
    assert (first.rate, why) == (100.0, "as asked, images/s a trial: float32 100")
    again, why = start_measurement(plan, torch, anew=False)()
    assert again == first == find_measurement(plan)
    assert why == "as asked, images/s a trial: float32 100, measured before"
    anew, why = start_measurement(plan, torch, anew=True)()
    assert (anew.rate, why) == (200.0, "as asked, images/s a trial: float32 200")
    assert find_measurement(plan) == anew
    assert torch.asked == [(plan.baseline, plan.resources.threads)] * 2


def test_a_gpu_that_trains_as_asked_is_not_asked(plan: Plan) -> None:
    torch: Any = FakeProcess()
    on_gpu = replace(plan, resources=replace(plan.resources, per_gpu=1))
    measured, why = start_measurement(on_gpu, torch, anew=False)()
    assert (measured.precision, measured.rate, why) == ("float32", None, "as asked")
    assert torch.asked == []


def test_a_session_expects_what_was_measured_until_epochs_are_trained(
    plan: Plan, tiny_data: Path
) -> None:
    """72 images and two evaluations of 8 at a third of the cost make 77.3 images."""
    from datasets.access import open_search_data
    from search.session import execute

    measured = Measurement(precision="float32", images_per_s={"float32": 77.333})
    data = open_search_data(tiny_data)
    session = execute.open_session(plan, data, "float32", None, print, measured)
    baseline, larger = plan.baseline, plan.baseline.but(image_size=64)
    assert session.speed.estimate(baseline).epoch_s == pytest.approx(1.0, rel=0.01)
    assert session.speed.estimate(larger).epoch_s == pytest.approx(4.0, rel=0.01)
    assert session.limits.epoch_s == pytest.approx(1.0, rel=0.01)
    epoch = replace(metrics(1, 0.5), wall_s=8.0)
    session.watchdog.reports(TrainingId(0), baseline, 0.0, epoch)
    assert session.speed.estimate(larger).epoch_s == pytest.approx(32.0)
    session.close()


def test_a_session_knows_the_epochs_of_earlier_ones(tiny_data: Path, tmp_path: Path) -> None:
    """Each epoch of the made curves takes 1.5 s, at 32 px."""
    search(planned(tmp_path, tiny_data, {}, name="old", trials=4), epochs=3)
    session = opened(planned(tmp_path, tiny_data, {}, name="old", trials=4))
    config = TrialConfig(network="resnet10", image_size=64)
    found = session.speed.estimate(config)
    assert (found.epoch_s, found.source) == (pytest.approx(6.0), Source.TRAINED)
    session.close()


def test_a_measurement_in_the_other_precision_is_no_rate(tmp_path: Path) -> None:
    both = Measurement(precision="bfloat16", images_per_s={"float32": 7.0, "bfloat16": 12.0})
    CalibrationStore(tmp_path / "c.json").keep("a", both)
    found = CalibrationStore(tmp_path / "c.json").find("a")
    assert found is not None
    assert (found.rate, replace(found, precision="float32").rate) == (12.0, 7.0)
