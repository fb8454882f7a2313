"""The mistakes that everybody makes once: each is told with what to type instead."""

from pathlib import Path

import pytest

from datasets import prepare
from results import compare, export, importance, report
from results.run_hints import nearest_run, resume_command
from results.store import RunStore
from search import simulate
from tests.results.example_run import make_run
from tests.results.example_search import MANIFEST, RANGES, SIX, six
from trainables import final
from trainables.final_model.best_config import BestError, read_best

READERS = [report.main, export.main, importance.main, simulate.main, compare.main]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(directory):
    RunStore.create(directory, {"name": directory.name} | MANIFEST).close()
    return directory


@pytest.mark.parametrize("main", READERS, ids=lambda main: main.__module__)
def test_a_misspelt_run_is_guessed(main, here, capsys):
    begun(here / "runs" / "first")
    for named in ("runs/frist", "first", "runs/first/best.yaml"):
        assert main([named]) == 2
        said = capsys.readouterr().err
        assert "manifest.json is missing; did you mean runs/first?\n" in said
        assert said.count("\n") == 1


def test_where_no_run_is_like_it_the_newest_is_named_or_how_to_make_one(here):
    assert nearest_run(Path("runs/first")) == "`python -m search.run --space demo` makes one."
    begun(here / "elsewhere" / "nightly")
    assert nearest_run(Path("elsewhere/first")) == f"the newest run is {Path('elsewhere/nightly')}."


def test_the_command_that_goes_on_names_the_folder_of_runs_where_it_has_to(here, monkeypatch):
    assert resume_command(Path("runs/first")) == "python -m search.run --resume first"
    assert resume_command(here / "runs" / "first") == "python -m search.run --resume first"
    assert resume_command(Path("a/first")) == "python -m search.run --resume first --out a"
    (here / "runs" / "first").mkdir(parents=True)
    monkeypatch.chdir(here / "runs" / "first")
    expected = f"python -m search.run --resume first --out {here / 'runs'}"
    assert resume_command(Path()) == expected


@pytest.mark.parametrize("main", [report.main, export.main, importance.main])
def test_a_run_without_a_result_says_how_to_go_on(main, here, capsys):
    begun(here / "runs" / "first")
    assert main(["runs/first"]) == 2
    assert "`python -m search.run --resume first`" in capsys.readouterr().err


def test_too_few_trials_for_importance_say_how_to_add_some(here, capsys):
    make_run(here / "runs" / "first", RANGES, SIX, 4, MANIFEST)
    assert importance.main(["runs/first"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "Add some: python -m search.run --resume first --trials +11"


@pytest.mark.parametrize(
    ("main", "words", "meant"),
    [
        (report.main, ["first", "--too", "x"], "--to"),
        (compare.main, ["first", "--too=x"], "--to"),
        (export.main, ["first", "--trail", "3"], "--trial"),
        (simulate.main, ["first", "--polcy", "random"], "--policy"),
        (prepare.main, ["folder", "--sorce", "x"], "--source"),
        (final.main, ["--config", "best.yaml", "--overwrit"], "--overwrite"),
    ],
    ids=lambda value: getattr(value, "__module__", None),
)
def test_a_misspelt_option_is_guessed(main, words, meant, here, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    wrong = next(word for word in words[1:] if word.startswith("--") and word != "--config")
    assert capsys.readouterr().err == f"error: {wrong} is not an option; did you mean {meant}?\n"


def test_best_yaml_that_is_missing_names_the_command_that_writes_it(here):
    run = six(here / "runs" / "first")
    for named in (run / "best.yaml", run):
        with pytest.raises(BestError, match=rf"python -m results\.export {run}\.$"):
            read_best(named)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["foldr"], "'foldr' is no dataset; did you mean folder?"),
        (["photos"], "images of your own are the dataset `folder`, with --source photos."),
        (["folder"], "name them with --source ZIP or --source FOLDER, or with --data"),
        (["folder", "--source", "fotos"], "fotos is missing; check the path."),
        (["folder", "--source", "photos"], "of folders of images, see docs/guides/tutorial.md."),
    ],
)
def test_images_that_are_elsewhere_or_laid_out_otherwise(words, said, here, capsys):
    (here / "photos" / "cat").mkdir(parents=True)
    (here / "photos" / "cat" / "1.jpg").touch()
    assert prepare.main(words) == 2
    assert said in capsys.readouterr().err
