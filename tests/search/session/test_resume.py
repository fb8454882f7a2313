"""What may be given again, and how a run is named, when it goes on."""

from pathlib import Path
from typing import Any

import pytest

from results.store import RunStore
from search.config.options import OptionsError
from search.run import main
from search.session.backup import ARCHIVE, Backup, backup_place
from search.session.resume import find_run, has_begun, saved_options
from tests.search.session_on_curves import planned, search

pytestmark = pytest.mark.usefixtures("plan_quickly")

SAVED = {
    "space": "demo", "trials": 4, "seed": 5, "max_gap": 0.05, "name": "first",
    "set": ["image_size=32", "lr=0.001"],
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    RunStore.create(tmp_path / "first", {"name": "first", "options": SAVED}).close()
    return tmp_path / "first"


def again(run: Path, *layers: dict[str, Any]) -> dict[str, Any]:
    return saved_options(find_run(str(run), layers), layers)


@pytest.mark.parametrize(
    "layer",
    [
        {"max_gap": "5e-2"},
        {"max_gap": ".05", "seed": "05"},
        {"set": ["lr=1e-3"]},
        {"set": {"image_size": "32", "lr": "1.0e-3"}},
        {"set": ["lr=.001", "image_size=032"]},
        {"name": "first"},
    ],
)
def test_what_equals_the_run_s_own_value_may_be_given_again(
    run: Path, layer: dict[str, Any]
) -> None:
    assert again(run, layer)["set"] == SAVED["set"]


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ({"max_gap": "6e-2"}, "--max-gap can't change when a run goes on (it was 0.05)"),
        ({"deterministic": True}, "--deterministic can't change when a run goes on (it was False)"),
        ({"set": ["lr=2e-3"]}, "--set can't change when a run goes on (it was ['image_size=32', "),
        ({"set": {"flip": True}}, "--set can't change when a run goes on"),
        ({"name": "second"}, "--name can't change when a run goes on (it was 'first')"),
    ],
)
def test_what_differs_is_refused(run: Path, layer: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionsError) as caught:
        again(run, {"max_gap": "0.05"}, layer)
    (error,) = caught.value.errors
    assert error.startswith(sentence)


def test_a_file_may_have_another_name_than_the_run_that_goes_on(run: Path) -> None:
    """The first session had it from the command line, as `--resume` has it now."""
    saved = again(run, {"name": "from-the-file", "seed": "5"}, {"trials": "9"})
    assert (saved["name"], saved["out"]) == ("first", str(run.parent))


def test_a_run_whose_set_names_a_field_twice_goes_on_with_the_last(tmp_path: Path) -> None:
    options = SAVED | {"set": ["lr=0.1", "flip=true", "lr=0.001"]}
    RunStore.create(tmp_path / "old", {"name": "old", "options": options}).close()
    assert again(tmp_path / "old", {"set": ["lr=1e-3"]})["set"] == ["lr=0.001", "flip=true"]


def test_the_same_run_yaml_goes_on_also_after_the_folder_has_got_another_name(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of the first session names the run and its folder, and one field is set beside."""
    yaml = run.parent / "run.yaml"
    yaml.write_text(
        f"space: demo\ntrials: 4\nseed: 5\nname: first\nout: {run.parent}\nmax_gap: 5e-2\n"
        "set:\n  image_size: 32\n",
        encoding="utf-8",
    )
    data = ["--data", str(run.parent / "data")]  # not what a search has prepared in ./data
    more = ["--config", str(yaml), "--dry-run", *data]
    assert main(["--resume", "first", "--set", "lr=0.001", *more]) == 0
    assert ", image_size 32, lr 0.001\n" in capsys.readouterr().out
    run.rename(run.with_name("my run"))
    assert main(["--resume", "my run", *more]) == 0
    out = capsys.readouterr().out
    assert f"run      {run.with_name('my run')}\n" in out
    assert ", image_size 32, lr 0.001\n" in out


@pytest.mark.parametrize(
    ("resumed", "out", "name"),
    [
        ("first", "runs", "first"),
        ("first/", "runs", "first"),
        ("runs/first", "runs", "first"),
        ("elsewhere/my runs/first one/", "elsewhere/my runs", "first one"),
        ("/a/first", "/a", "first"),
    ],
)
def test_a_run_is_named_by_its_name_or_by_its_folder(resumed: str, out: str, name: str) -> None:
    assert find_run(resumed, []) == {"name": name, "out": out}


def test_the_last_layer_s_folder_of_runs_counts() -> None:
    layers: list[dict[str, Any]] = [{"out": "a"}, {"out": "b"}, {"seed": 1}]
    assert find_run("first", layers) == {"name": "first", "out": "b"}
    assert find_run("c/first", layers) == {"name": "first", "out": "c"}


def test_the_run_that_an_error_names_can_be_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parent)
    run.rename(run.with_name("my run"))
    assert main(["--resume", "my rum", "--out", ".", "--dry-run"]) == 2
    meant = capsys.readouterr().err.split("did you mean ")[1].removesuffix("?\n")
    assert main(["--resume", meant, "--out", ".", "--dry-run"]) == 0


HERE = ("--space", "demo", "--trials", "3", "--dry-run")


def test_one_command_starts_a_run_and_goes_on_with_it(
    tmp_path: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--resume-or-start", "first", "--out", str(tmp_path), "--data", str(tmp_path / "no"),
             *HERE]  # fmt: skip
    assert main(words) == 0
    assert f"run      {tmp_path / 'first'}\n" in capsys.readouterr().out
    assert not (tmp_path / "first" / "manifest.json").exists()
    plan = planned(tmp_path, tiny_data, {"epochs": 9}, name="first", trials=3)
    search(plan, epochs=4)
    words[words.index("--data") + 1] = str(tiny_data.parent)
    assert main([*words, "--epochs", "9"]) == 0
    assert main([*words, "--seed", "7"]) == 2  # as --resume does, it refuses another search
    assert "--seed can't change when a run goes on" in capsys.readouterr().err


def test_a_run_that_is_done_is_said_to_be(
    tmp_path: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search(planned(tmp_path, tiny_data, {}, name="first", trials=3))
    words = ["--resume-or-start", "first", "--out", str(tmp_path), "--data", str(tiny_data.parent)]
    assert main([*words, "--space", "demo", "--trials", "3"]) == 0
    out = capsys.readouterr().out
    assert "cost       the whole run: about " in out
    assert "The search is done: nothing is left to train." in out
    assert "Best: " in out


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--resume", "first"], "--resume can't go with --resume-or-start"),
        (["--name", "second"], "--name must be left out beside --resume-or-start"),
    ],
)
def test_what_would_leave_open_which_run_is_meant_is_refused(
    tmp_path: Path, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--resume-or-start", "first", "--out", str(tmp_path), *HERE, *more]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "first" / "manifest.json").exists()


def test_a_run_that_began_on_another_machine_is_fetched(tmp_path: Path, tiny_data: Path) -> None:
    plan = planned(tmp_path / "there", tiny_data, {}, name="first", trials=3)
    search(plan)
    storage = tmp_path / "storage"
    Backup(backup_place(str(storage), "first"), plan.directory, print).close()
    place = {"name": "first", "out": str(tmp_path / "here")}
    assert has_begun(place, [{"storage": str(storage)}])
    assert not has_begun(place | {"name": "second"}, [{"storage": str(storage)}])
    (storage / "third").mkdir()
    (storage / "third" / ARCHIVE).write_bytes(b"damaged")
    with pytest.raises(OptionsError, match=r"--resume-or-start: .* must be a run's records"):
        has_begun(place | {"name": "third"}, [{"storage": str(storage)}])
