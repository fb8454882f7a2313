"""What may be given again, and how a run is named, when it goes on."""

from pathlib import Path
from typing import Any

import pytest

from results.store import RunStore
from search.config.options import OptionsError
from search.run import main
from search.session.resume import find_run, saved_options

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
    more = ["--config", str(yaml), "--dry-run"]
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
