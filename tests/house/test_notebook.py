"""docs/explore.ipynb: committed without outputs, and every cell of it runs on a made run."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.results.example_search import many

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "explore.ipynb"
FIGURE = "application/vnd.plotly.v1+json"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def test_it_is_committed_without_outputs() -> None:
    code = [cell for cell in read().cells if cell.cell_type == "code"]
    assert len(code) >= 5
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_every_cell_runs_and_every_figure_shows_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = many(tmp_path / "run", 24, epochs=12)
    monkeypatch.setenv("RUN", str(run))
    notebook = read()
    NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": NOTEBOOK.parent}}
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert any("run: 24 trials" in out.get("text", "") for out in outputs)
    data = [out["data"] for out in outputs if "data" in out]
    figures = [each[FIGURE] for each in data if FIGURE in each]
    titles = [figure["layout"]["title"]["text"] for figure in figures]
    asked = sum(cell.source.count(".show()") for cell in notebook.cells)
    assert len(titles) == len(set(titles)) == asked >= 5
    for figure in figures:
        assert figure["data"]
        assert all(trace["x"] and trace["y"] for trace in figure["data"])
    assert sum("text/html" in each for each in data) >= 1  # the table of the best trials
