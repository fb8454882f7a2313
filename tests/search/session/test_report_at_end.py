"""The page at a search's end."""

from pathlib import Path

import pytest

from results import report
from search.session.finish import write_final_report
from tests.results.example_search import six


def test_a_finished_search_says_where_its_page_is(tmp_path: Path) -> None:
    said = write_final_report(six(tmp_path / "six"))
    assert said == f"The search as a page: {tmp_path / 'six' / 'report.html'}"
    assert "Trial 2 reaches 55.0 % on val" in (tmp_path / "six" / "report.html").read_text(
        encoding="utf-8"
    )


def test_a_page_that_can_t_be_made_is_told_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(directory: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "write_report", broken)
    assert write_final_report(tmp_path) == (
        "The report couldn't be written (OSError: [Errno 28] No space left on device). Once that "
        f"is fixed: python -m results.report {tmp_path}"
    )
