"""Notes and tags of a run."""

import os
from pathlib import Path

import pytest

from common.errors import RecordError
from results.annotate import main
from results.overview.annotations import (
    ANNOTATIONS,
    AnnotationError,
    Annotations,
    annotate,
    read_annotations,
)
from results.overview.run_overview import RunState, overview_of
from tests.results.example_search import six


def test_notes_and_tags_change_one_by_one(tmp_path: Path) -> None:
    assert read_annotations(tmp_path) == Annotations()
    annotate(tmp_path, note="with MixUp", add=["b", "a", "a"])
    assert read_annotations(tmp_path) == Annotations(note="with MixUp", tags=["a", "b"])
    annotate(tmp_path, remove=["a"])
    assert read_annotations(tmp_path) == Annotations(note="with MixUp", tags=["b"])
    annotate(tmp_path, note="")
    assert read_annotations(tmp_path) == Annotations(tags=["b"])


def test_all_faults_are_told_and_nothing_changes(tmp_path: Path) -> None:
    annotate(tmp_path, add=["kept"])
    with pytest.raises(AnnotationError) as raised:
        annotate(tmp_path, note="x" * 2001, add=["two words", "", "good"], remove=["unknown"])
    assert [each.split(",")[0] for each in raised.value.errors] == [
        "a tag must have 1…40 letters", "a tag must have 1…40 letters",
        "--untag must name a tag of the run", "a note must have at most 2",
    ]  # fmt: skip
    assert read_annotations(tmp_path) == Annotations(tags=["kept"])


def test_the_command_says_what_stands_there_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(six(tmp_path / "run"))
    assert main([run, "--tag", "x", "y", "--note", "fine"]) == 0
    assert capsys.readouterr().out == "tags: x y\nnote: fine\n"
    assert main([run]) == 0
    assert capsys.readouterr().out == "tags: x y\nnote: fine\n"
    assert main([str(tmp_path / "no run"), "--tag", "x"]) == 2
    assert "is not a run" in capsys.readouterr().err
    assert not (tmp_path / "no run").exists()


def test_a_damaged_note_hides_no_run(tmp_path: Path) -> None:
    run = six(tmp_path / "run")
    (run / ANNOTATIONS).write_text('{"note": 3}', encoding="utf-8")
    with pytest.raises(RecordError, match="remove it"):
        read_annotations(run)
    found = overview_of(run)
    assert (found.state, found.best_val_top1) == (RunState.ENDED, 0.55)
    assert found.problem is not None
    assert ANNOTATIONS in found.problem


@pytest.mark.timeout(20)
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    run = six(tmp_path / "run")
    os.mkfifo(run / ANNOTATIONS)
    with pytest.raises(RecordError, match=r"is damaged .*a named pipe and no file.*; remove it"):
        read_annotations(run)
    (run / ANNOTATIONS).unlink()
    assert read_annotations(run) == Annotations()
