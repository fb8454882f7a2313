"""One changed digit is noticed, and named; what older versions wrote is read as it was."""

import json
from pathlib import Path

import pytest

from common.errors import RecordError
from common.files import checksum
from results.export import export
from results.records import EpochMetrics, TrialState
from results.store import RunError, RunStore, read_epochs, read_manifest, read_standings
from tests.results.test_export import MANIFEST, trial
from tests.search.study_on_curves import metrics
from trainables.final_model.best_config import BestError, read_best


@pytest.fixture
def run(tmp_path: Path) -> Path:
    store = RunStore.create(tmp_path / "run", MANIFEST | {"options": {"seed": 12345}})
    store.add_trial(trial(0, TrialState.COMPLETE, 0.5))
    for epoch in (1, 2):
        store.add_epoch(0, metrics(epoch, 0.25 * epoch))
    store.close()
    export(tmp_path / "run")
    return tmp_path / "run"


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(before) >= 1
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


def test_a_changed_digit_in_a_line_is_named(run: Path) -> None:
    change(run / "epochs.jsonl", '"val_top1":0.5', '"val_top1":0.6')
    with pytest.raises(RecordError, match=r"epochs\.jsonl line 2 is damaged; restore it from"):
        list(read_epochs(run))


def test_a_changed_digit_in_a_manifest_is_named(run: Path) -> None:
    change(run / "manifest.json", "12345", "12346")
    with pytest.raises(RunError, match=r"manifest\.json is not as it was written; restore it"):
        read_manifest(run)
    lines = (run / "manifest.json").read_text(encoding="utf-8").splitlines()
    assert lines.pop(1).startswith(' "sha256": ')
    (run / "manifest.json").write_text("\n".join(lines), encoding="utf-8")
    assert read_manifest(run)["options"] == {"seed": 12346}


def test_a_changed_digit_in_the_best_configuration_is_named(run: Path) -> None:
    lr = read_best(run / "best.yaml").config.lr
    change(run / "best.yaml", "lr: 0.001", "lr: 0.002")
    with pytest.raises(BestError, match=r"best\.yaml is not as it was written: export it again"):
        read_best(run / "best.yaml")
    lines = (run / "best.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    assert lines[0].startswith("sha256: ")
    (run / "best.yaml").write_text("".join(lines[1:]), encoding="utf-8")
    with pytest.raises(BestError, match="not as it was written"):  # its version promises it
        read_best(run / "best.yaml")
    assert lines[1].startswith("schema_version: 2")
    (run / "best.yaml").write_text("".join(lines[2:]), encoding="utf-8")
    assert read_best(run / "best.yaml").config.lr == 2 * lr


def test_what_is_cut_off_the_best_configuration_is_missed(run: Path) -> None:
    lines = (run / "best.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    (run / "best.yaml").write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(BestError, match="not as it was written"):
        read_best(run / "best.yaml")


def test_lines_without_checksums_are_read_among_others(run: Path) -> None:
    path = run / "epochs.jsonl"
    first, second = path.read_text(encoding="utf-8").splitlines()
    older = {key: value for key, value in json.loads(first).items() if key != "crc32"}
    path.write_text(json.dumps(older) + "\n" + second + "\n", encoding="utf-8")
    assert list(read_epochs(run)) == [(0, metrics(1, 0.25)), (0, metrics(2, 0.5))]
    assert read_standings(run)[0].best_val_top1 == 0.5


@pytest.mark.parametrize(
    ("key", "value"),
    [("epoch", "1"), ("epoch", True), ("epoch", 1.5), ("val_top1", float("nan")), ("lr", None),
     ("val_loss", [1])],
)  # fmt: skip
def test_values_of_another_kind_are_refused(key: str, value: object) -> None:
    good = {name: getattr(metrics(1, 0.5), name) for name in EpochMetrics.__slots__}
    assert EpochMetrics.from_json(good | {"val_loss": None, "lr": 1}).lr == 1
    with pytest.raises(RecordError, match=f"EpochMetrics can't be read: {key}="):
        EpochMetrics.from_json(good | {key: value})


def test_a_checksum_is_of_values_not_of_their_order() -> None:
    assert checksum({"a": 1, "b": [0.1, None]}) == checksum({"b": [0.1, None], "a": 1})
    assert checksum({"a": 1}) != checksum({"a": 2})
