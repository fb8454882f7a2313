import json
from dataclasses import replace
from hashlib import sha256

import pytest

from search.hardware import calibration
from search.hardware.calibration import (
    CalibrationStore,
    Measurement,
    calibration_key,
    packing_key,
)
from search.hardware.machine import Machine, cpu_model
from tests.search.hardware.faked_gpus import gpus as faked_gpus
from trainables.config import TrialConfig

CONFIG = TrialConfig(network="resnet18")
MEASURED = Measurement(precision="float32", images_per_s={"float32": 70.0})


def test_a_measurement_is_kept_and_found_again(tmp_path):
    measured = Measurement(precision="bfloat16", images_per_s={"float32": 70.0, "bfloat16": 120.0})
    known = CalibrationStore(tmp_path / "runs" / "c.json")
    assert known.find("a") is None
    known.keep("a", measured)
    known.keep("b", Measurement(precision="float32", images_per_s={}))  # as older versions on a GPU
    assert CalibrationStore(tmp_path / "runs" / "c.json").find("a") == measured
    assert CalibrationStore(tmp_path / "runs" / "c.json").find("b") is None
    assert measured.describe_rates() == "images/s a trial: float32 70, bfloat16 120"
    assert measured.rate == 120.0
    assert Measurement(precision="float32", images_per_s={}).rate is None


@pytest.mark.parametrize(
    ("precision", "rates", "sound"),
    [
        ("float16", {"float32": 70.0, "float16": 120.0}, True),
        ("float32", {"float32": 70.0}, True),
        ("float32", {"bfloat16": 70.0}, False),
        ("half", {"half": 70.0}, False),
        ("auto", {"auto": 70.0}, False),
    ],
)
def test_a_measurement_has_a_rate_in_the_precision_of_its_choice(precision, rates, sound):
    assert Measurement(precision=precision, images_per_s=rates).sound() is sound


def test_a_damaged_file_counts_as_empty(tmp_path):
    path = tmp_path / "c.json"
    present = {"versions": CalibrationStore(path)._versions}
    rates = [{"float32": rate} for rate in (0.0, -1.0, float("inf"), "fast", 10**400)]
    unsound = [{"precision": "float32", "images_per_s": each} for each in rates]
    for text in (
        "{",
        "[1]",
        '{"a": {"speed": 1}}',
        json.dumps(present | {"measurements": [1]}),
        *(json.dumps(present | {"measurements": {"a": each}}) for each in unsound),
    ):
        path.write_text(text, encoding="utf-8")
        assert CalibrationStore(path).find("a") is None
    CalibrationStore(path).keep("a", MEASURED)
    assert CalibrationStore(path).find("a") == MEASURED


def test_what_changes_the_work_changes_the_key_and_regularisation_does_not():
    first = calibration_key(CONFIG, 1, ())
    assert calibration_key(CONFIG.but(dropout=0.5, lr=0.1, seed=3), 1, ()) == first
    others = [
        calibration_key(CONFIG.but(network="resnet50"), 1, ()),
        calibration_key(CONFIG.but(image_size=128), 1, ()),
        calibration_key(CONFIG.but(freeze_depth=2), 1, ()),
        calibration_key(CONFIG.but(batch_size=32), 1, ()),
        calibration_key(CONFIG.but(head_width=2048), 1, ()),
        calibration_key(CONFIG.but(micro_batch_size=32), 1, ()),
        calibration_key(CONFIG.but(compile=True), 1, ()),
        calibration_key(CONFIG.but(precision="float32"), 1, ()),
        calibration_key(CONFIG, 2, ()),
        calibration_key(CONFIG, 1, faked_gpus("A100")),
    ]
    assert len({first, *others}) == 11
    on_gpu = calibration_key(CONFIG, 1, faked_gpus("A100"))
    assert calibration_key(CONFIG, 2, faked_gpus("A100")) == on_gpu
    work = [str(getattr(CONFIG, name)) for name in calibration.DECIDING]
    before = sha256("|".join([*work, "1", cpu_model()]).encode()).hexdigest()[:12]
    assert first == f"resnet18-{before}"  # what older versions have measured on cores counts


def test_the_number_of_trials_on_a_gpu_depends_on_more():
    machine = Machine(cpus=2, memory_bytes=8 << 30, gpus=faked_gpus("A100"))
    config = CONFIG.but(precision="bfloat16")
    keys = [
        packing_key(config, 4, machine, mps=False, captured=False),
        packing_key(config, 4, machine, mps=True, captured=False),
        packing_key(config, 4, machine, mps=False, captured=True),
        packing_key(config, 5, machine, mps=False, captured=False),
        packing_key(config.but(image_size=128), 4, machine, mps=False, captured=False),
        packing_key(config.but(precision="float16"), 4, machine, mps=False, captured=False),
        packing_key(config.but(deterministic=True), 4, machine, mps=False, captured=False),
        packing_key(config.but(ema=0.999), 4, machine, mps=False, captured=False),
        packing_key(config, 4, replace(machine, gpus=faked_gpus("T4")), mps=False, captured=False),
        packing_key(config, 4, replace(machine, cpus=64), mps=False, captured=False),
    ]
    assert len(set(keys)) == len(keys)
    assert all(key.startswith("packing-resnet18-") for key in keys)


@pytest.mark.parametrize("package", [*calibration.PACKAGES, "schema"])
def test_measurements_of_other_versions_don_t_count_and_are_dropped(tmp_path, package):
    path, measured = tmp_path / "c.json", MEASURED
    CalibrationStore(path).keep("a", measured)
    value = json.loads(path.read_text(encoding="utf-8"))
    value["versions"][package] = "0.1"
    path.write_text(json.dumps(value), encoding="utf-8")
    known = CalibrationStore(path)
    assert known.find("a") is None
    known.keep("b", measured)
    assert known.find("b") == measured
    written = json.loads(path.read_text(encoding="utf-8"))
    assert list(written["measurements"]) == ["b"]
    assert written["versions"][package] != "0.1"


def test_measurements_of_the_first_format_are_replaced(tmp_path):
    """That format had no versions, and its key held the version of torch alone."""
    path, measured = tmp_path / "c.json", MEASURED
    old = {"a": {"precision": "float32", "images_per_s": {"float32": 7.0}}}
    path.write_text(json.dumps(old), encoding="utf-8")
    assert CalibrationStore(path).find("a") is None
    CalibrationStore(path).keep("b", measured)
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["versions", "measurements"]
