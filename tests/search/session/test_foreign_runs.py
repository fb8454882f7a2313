"""What a run from elsewhere may use: nothing outside of its folder, before it is named."""

import json
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from common.files import checksum
from common.ownership import key_path
from datasets.access import open_search_data
from results.analysis.run_records import is_own_run
from results.export import export
from results.store import RunStore, read_manifest
from search.config.options import OptionsError, SearchOptions
from search.run import main
from search.session import execute
from search.session.provenance import command_line
from search.session.resume import find_run, saved_options
from tests.remedies.searches import copy_run, write_space
from tests.search.session_on_curves import planned, search
from trainables.final_model.best_config import read_best

PLACES = {
    "source": "/mnt/their images.zip", "data": "/mnt/data", "weights": "/mnt/weights.pt",
    "address": "10.0.0.1:6379", "data_uri": "s3://theirs/data", "storage": "s3://theirs/runs",
    "dashboard_host": "0.0.0.0", "mlflow": "http://theirs:5000", "wandb": "theirs/project",
}  # fmt: skip
"""Values of every option that names something outside of a run, beside the space."""


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """A run that names all of `PLACES`, a space to execute, and weights in `set`."""
    options = PLACES | {"space": "/mnt/it's a space.py", "set": ["weights=/mnt/set.pt", "lr=0.1"]}
    RunStore.create(tmp_path / "first", {"name": "first", "options": options}).close()
    sign_elsewhere(tmp_path / "first")
    return tmp_path / "first"


def sign_elsewhere(directory: Path, **changes: Any) -> None:
    """Changes the manifest as another user can: with its checksum, and a signature of theirs."""
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | {"mac": "5" * 64} | changes
    manifest.pop("sha256")
    path.write_text(json.dumps({"sha256": checksum(manifest)} | manifest), encoding="utf-8")


def refusals(directory: Path, *words: str, **given: Any) -> list[str]:
    """The sentences that refuse to go on with a run; none where it may."""
    layers = [given]
    words = ("--resume", str(directory), *words)
    try:
        saved_options(find_run(str(directory), layers), layers, words)
    except OptionsError as error:
        return error.errors
    return []


def test_everything_outside_of_it_is_named_in_one_command(received: Path) -> None:
    (sentence,) = refusals(received)
    command = shlex.split(sentence.partition("`")[2].rpartition("`")[0])
    assert command[:5] == ["python", "-m", "search.run", "--resume", str(received)]
    flags = dict(word[2:].split("=", 1) for word in command[5:] if not word.startswith("--set"))
    expected = PLACES | {"space": "/mnt/it's a space.py"}
    assert flags == {key.replace("_", "-"): value for key, value in expected.items()}
    assert command[-1] == "--set=weights=/mnt/set.pt"


@pytest.mark.parametrize("left_out", [*PLACES, "space"])
def test_each_of_them_has_to_be_given(received: Path, left_out: str) -> None:
    given = PLACES | {"space": "/mnt/it's a space.py", "set": ["weights=/mnt/set.pt"]}
    assert refusals(received, **given) == []
    del given[left_out]
    (sentence,) = refusals(received, **given)
    command = shlex.split(sentence.partition("`")[2].rpartition("`")[0])
    value = (PLACES | {"space": "/mnt/it's a space.py"})[left_out]
    assert command[5:] == [f"--{left_out.replace('_', '-')}={value}"]


def test_every_option_is_either_a_place_or_stays_in_the_run() -> None:
    """A new option has to be added to one of these."""
    stays = {
        "dataset", "trials", "epochs", "time_budget", "gpu_hours", "finalists", "repeats",
        "concurrency", "gpus_per_trial", "precision", "seed", "grace", "reduction_factor",
        "objectives", "max_gap", "gap_patience", "plateau_patience", "min_gain", "stall_timeout",
        "dashboard_port", "page_port", "tensorboard", "deterministic", "fidelity",
    }  # fmt: skip
    elsewhere = {"set", "warm_start", "name", "out"}  # weights in it; only of a new run; --resume
    known = {field.name for field in fields(SearchOptions)}
    assert known == stays | elsewhere | PLACES.keys() | {"space"}


def test_a_run_brings_no_command_along(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hooks are no options of a run: one's own run that holds some, as another version might have
    written it, is refused as well as a run from elsewhere, and nothing of it is executed."""
    assert not {"on_end", "on_best"} & {field.name for field in fields(SearchOptions)}
    store, mark = RunStore(copied), tmp_path / "mark"
    manifest = read_manifest(copied)
    assert not {"on_end", "on_best"} & manifest["options"].keys()
    manifest["options"] |= {"on_end": f"touch {mark}", "on_best": f"touch {mark}"}
    store.write_manifest(manifest)
    store.close()
    for foreign in (False, True):
        if foreign:
            sign_elsewhere(copied)
        assert main(["--resume", str(copied), "--trials", "3"]) == 2
        error = capsys.readouterr().err
        assert foreign or "on_end is not an option" in error
    assert not mark.exists()


def test_what_a_hook_says_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "search.run",
        "--on-end",
        "curl https://hooks/SECRET",
        "--seed",
        "1",
        "--on-best=x SECRET",
    ]
    monkeypatch.setattr("sys.argv", words)
    recorded = command_line()
    assert "SECRET" not in " ".join(recorded)
    assert recorded[3:] == ["--on-end", "***", "--seed", "1", "--on-best=***"]


def test_what_every_search_uses_needs_no_confirmation(tmp_path: Path) -> None:
    options = {"space": "demo", "weights": "imagenet", "data": "data", "dashboard_host": "::1"}
    RunStore.create(tmp_path / "first", {"name": "first", "options": options}).close()
    sign_elsewhere(tmp_path / "first")
    assert refusals(tmp_path / "first") == []


def test_one_s_own_run_stays_one_s_own_when_it_is_copied_or_moved(tmp_path: Path) -> None:
    options = {"space": "/mnt/space.py"} | PLACES
    RunStore.create(tmp_path / "first", {"name": "first", "options": options}).close()
    assert refusals(tmp_path / "first") == []
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    (tmp_path / "first").rename(tmp_path / "moved")
    assert refusals(tmp_path / "copy") == refusals(tmp_path / "moved") == []
    key_path().rename(tmp_path / "key")  # as on another machine
    try:
        assert len(refusals(tmp_path / "copy")) == 1
    finally:
        (tmp_path / "key").rename(key_path())


def test_a_link_out_of_the_folder_is_named(received: Path, tmp_path: Path) -> None:
    (tmp_path / "profile").write_text("mine", encoding="utf-8")
    (received / "checkpoints").symlink_to(tmp_path)
    (received / "inside").symlink_to(received / "epochs.jsonl")
    given = PLACES | {"space": "/mnt/it's a space.py", "set": ["weights=/mnt/set.pt"]}
    (sentence,) = refusals(received, **given)
    assert f"but {received / 'checkpoints'} is one; remove" in sentence


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Iterator[Path]:
    """A run of three trials of a space in a file, which leaves a mark each time it is executed."""
    place = tmp_path_factory.mktemp("own")
    mine = write_space(place / "mine.py", lr='float("lr", 1e-3, 1e-2, log=True)')
    mark = f"import pathlib\npathlib.Path({str(place / 'executed')!r}).touch()\n"
    mine.write_text(mark + mine.read_text(encoding="utf-8"), encoding="utf-8")
    search(planned(place, tiny_data, {"space": str(mine)}, name="first", trials=3))
    return place / "first"


@pytest.fixture
def copied(own: Path, tmp_path: Path) -> Path:
    """A copy of that run, which nobody has executed yet."""
    (own.parent / "executed").unlink(missing_ok=True)
    return copy_run(own, tmp_path)


@pytest.mark.parametrize("resume", ["--resume", "--resume-or-start"])
def test_the_printed_command_goes_on_and_signs_the_run(
    resume: str, copied: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it is executed before, not by a dry run either; `--resume-or-start` with the whole
    command doesn't ask again."""
    sign_elsewhere(copied)
    words = [resume, str(copied), "--trials", "3"]
    for more in ([], ["--dry-run"]):
        assert main([*words, *more]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("error: --resume: nothing that ")
        assert printed.out == ""
        assert not (own.parent / "executed").exists()
    whole = shlex.split(printed.err.partition("`")[2].rpartition("`")[0])[3:]
    assert whole[: len(words) + 1] == [*words, "--dry-run"]
    whole.remove("--dry-run")
    assert not is_own_run(copied)
    assert main(whole) == 0
    assert (own.parent / "executed").exists()
    assert is_own_run(copied)
    assert main([resume, str(copied), "--dry-run"]) == 0


def test_a_changed_copy_of_the_space_is_not_one_s_own(copied: Path, own: Path) -> None:
    sign = RunStore(copied)
    manifest = read_manifest(copied)
    manifest["options"]["space"] = str(copied / "space" / "mine.py")
    sign.write_manifest(manifest)
    sign.close()
    assert refusals(copied) == []
    space = copied / "space" / "mine.py"
    space.write_text(space.read_text(encoding="utf-8") + "\nprint('theirs')\n", encoding="utf-8")
    (sentence,) = refusals(copied)
    assert f"--space={space}" in sentence


def test_only_one_s_own_best_configuration_is_signed(copied: Path) -> None:
    assert read_best(export(copied)).own
    edited = (copied / "best.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    left = [line for line in edited if not line.startswith(("sha256", "schema_version"))]
    (copied / "best.yaml").write_text("".join(left), encoding="utf-8")
    assert not read_best(copied / "best.yaml").own
    store = RunStore(copied)
    for record in store.trials().values():
        store.add_trial(replace(record, config={**record.config, "weights": "/x.pt"}))
    store.close()
    best = read_best(export(copied))  # a record isn't signed
    assert (best.own, best.config.weights) == (False, "/x.pt")
    sign_elsewhere(copied)
    assert not read_best(export(copied)).own


def test_a_run_that_can_t_be_signed_says_what_that_means(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    notes: list[str] = []
    plan, data = planned(tmp_path, tiny_data, {}, name="run", trials=3), open_search_data(tiny_data)
    execute.open_session(plan, data, "float32", None, notes.append).close()
    assert not is_own_run(tmp_path / "run")
    (note,) = notes
    assert "the run can't be signed as yours" in note
    assert "--resume needs every file, place and server" in note
