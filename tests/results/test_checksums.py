"""One changed digit is noticed, and named; what older versions wrote is read as it was."""

from pathlib import Path
from zlib import crc32

import pytest

from common.errors import RecordError
from common.files import checksum
from results.analysis.run_records import read_run_records
from results.export import export
from results.records import EpochMetrics, TrialState
from results.store import RunError, RunStore, read_epochs, read_manifest
from tests.results.test_export import MANIFEST, trial
from tests.search.study_on_curves import metrics
from trainables.final_model.best_config import BestError, read_best


@pytest.fixture
def run(tmp_path: Path) -> Path:
    store = RunStore.create(tmp_path / "run", MANIFEST | {"options": {"seed": 12345}})
    for epoch in (1, 2):
        store.add_epoch(0, metrics(epoch, 0.25 * epoch))
    store.add_trial(trial(0, TrialState.COMPLETE, 0.5, epochs=2))
    store.close()
    export(tmp_path / "run")
    return tmp_path / "run"


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(before) >= 1
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


def test_a_changed_digit_in_a_line_is_named(run: Path) -> None:
    change(run / "epochs.jsonl", '"val_top1":0.5', '"val_top1":0.6')
    with pytest.raises(RecordError, match=r"epochs\.jsonl line 2 is damaged, or not where"):
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


def without_seal(line: str) -> str:
    return line[: line.rindex(',"chain":')] + "}"


def test_lines_without_checksums_are_read_among_others(run: Path) -> None:
    """Older versions wrote lines without checksums, then lines with one of their own."""
    path = run / "epochs.jsonl"
    first, second = (without_seal(line) for line in path.read_text("utf-8").splitlines())
    alone = f'{second[:-1]},"crc32":"{crc32(second.encode()):08x}"}}'
    path.write_text(first + "\n" + alone + "\n", encoding="utf-8")
    assert list(read_epochs(run)) == [(0, metrics(1, 0.25)), (0, metrics(2, 0.5))]
    assert read_run_records(run).standings()[0].best_val_top1 == 0.5
    store = RunStore(run)
    store.add_trial(trial(1, TrialState.RUNNING, None, epochs=0))
    store.add_epoch(1, metrics(1, 0.125))
    store.write_manifest(read_manifest(run))
    store.close()
    assert list(read_epochs(run))[2:] == [(1, metrics(1, 0.125))]
    for older in (f"{first}\n", f"{alone}\n{first}\n", f"{first}\n{alone}\n{alone}\n"):
        text = path.read_text(encoding="utf-8")
        path.write_text(older + text.splitlines()[-1] + "\n", encoding="utf-8")
        with pytest.raises(RecordError, match=r"line \d is damaged, or not where it was written"):
            read_run_records(run).standings()
        path.write_text(text, encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:  # an older version went on
        file.write(alone + "\n")
    with pytest.raises(RecordError, match="line 4 is damaged, or not where it was written"):
        read_run_records(run).standings()


@pytest.mark.parametrize("order", [(0, 2, 1), (0, 2), (1, 2), (0, 1, 1, 2), (2, 1, 0)])
def test_lines_that_are_moved_are_noticed_by_whoever_reads_them_alone(
    run: Path, order: tuple[int, ...]
) -> None:
    store = RunStore(run)
    store.add_epoch(0, metrics(3, 0.75))
    store.close()
    path = run / "epochs.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[number] for number in order), encoding="utf-8")
    with pytest.raises(RecordError, match=r"epochs\.jsonl line \d is damaged, or not where"):
        read_run_records(run)


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
