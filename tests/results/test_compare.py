"""Several runs on one page."""

import re
from pathlib import Path
from typing import Any

import pytest

from results.compare import main, write_comparison
from results.page import comparison
from results.page.run_data import Run, read_run
from tests.results.example_run import make_run
from tests.results.example_search import MANIFEST, RANGES, SIX, add_final, six


def two(tmp_path: Path, **changed: Any) -> list[Run]:
    """A run of six trials, and one of its first two, with the manifest changed."""
    first = six(tmp_path / "first")
    second = make_run(tmp_path / "second", RANGES, SIX[:2], 4, MANIFEST | changed)
    return [read_run(first), read_run(second)]


def test_the_better_run_is_named(tmp_path: Path) -> None:
    runs = two(tmp_path)
    assert comparison.headline(runs) == "first has the highest val_top1: 55.0 %, by trial 2"
    assert comparison.cautions(runs) == []


def test_runs_on_different_images_are_not_ranked(tmp_path: Path) -> None:
    runs = two(tmp_path, dataset={"name": "tiny-imagenet", "fingerprint": "ffff"})
    assert comparison.headline(runs) == "2 runs on different images"
    assert comparison.cautions(runs) == [
        "These runs saw different images: a higher val_top1 is no better result."
    ]


def test_numbers_stand_beside_each_other(tmp_path: Path) -> None:
    add_final(six(tmp_path / "tested"), "final", 2, 0.5)
    runs = [*two(tmp_path), read_run(tmp_path / "tested")]
    lines = {line.name: line.cells for line in comparison.numbers(runs)}
    assert lines["best val_top1"] == ["55.0 %", "34.0 %", "55.0 %"]
    assert lines["test top-1"] == ["–", "–", "50.0 %"]
    assert lines["baseline val_top1"] == ["34.0 %", "34.0 %", "34.0 %"]
    assert lines["trials"] == ["6", "2", "6"]
    assert lines["epochs trained"] == ["13", "6", "13"]


def test_configurations_begin_with_what_differs(tmp_path: Path) -> None:
    lines = comparison.configurations(two(tmp_path))
    assert [line.name for line in lines if line.differs] == ["lr"]
    assert lines[0].cells == ["0.0001", "0.001"]
    assert not lines[1].differs


def test_best_over_cost_has_a_line_a_run(tmp_path: Path) -> None:
    lines = comparison.over_cost(two(tmp_path)).data
    assert [line.name for line in lines] == ["first", "second"]
    assert lines[0].y[-1] == 0.55
    assert lines[1].x[-1] == 6 * 1.5
    dotted = [
        line for line in comparison.winners(two(tmp_path / "again")).data if line.line.dash == "dot"
    ]
    assert [max(line.y) for line in dotted] == pytest.approx([0.6, 0.74])


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = [read_run(six(tmp_path / place / "six")) for place in ("a", "b")]
    assert comparison.names(runs) == [str(tmp_path / "a" / "six"), str(tmp_path / "b" / "six")]


def test_the_page_is_written_beside_the_first_run(tmp_path: Path, capsys: Any) -> None:
    runs = [six(tmp_path / "first", name="<b>first</b>"), six(tmp_path / "second")]
    assert main([str(run) for run in runs]) == 0
    path = tmp_path / "comparison.html"
    assert capsys.readouterr().out == f"{path}\n"
    text = path.read_text(encoding="utf-8")
    assert "<b>first" not in text
    assert "&lt;b&gt;first&lt;/b&gt;" in text
    named = re.findall(r' id="([^"]+)"', text)
    assert len(named) == len(set(named))


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: Any) -> None:
    six(tmp_path / "first")
    assert main([str(tmp_path / "first"), str(tmp_path / "no")]) == 2
    assert f"{tmp_path / 'no'} is not a run" in capsys.readouterr().err
    assert not (tmp_path / "comparison.html").exists()


def test_another_place_is_taken(tmp_path: Path) -> None:
    assert write_comparison([six(tmp_path / "first")], tmp_path / "x.html") == tmp_path / "x.html"


def test_a_run_in_which_no_trial_succeeded_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = six(tmp_path / "good")
    bad = make_run(tmp_path / "bad", RANGES, [SIX[3]], 4, MANIFEST)
    assert main([str(good), str(bad)]) == 2
    assert f"{bad} has no best trial to compare: none has succeeded" in capsys.readouterr().err
    assert main([str(good)]) == 0
