"""The notebooks in docs: committed without outputs, and every cell runs, on what is made here."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import tiny_image
from tests.results.example_search import many

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK, COLAB = ROOT / "docs" / "explore.ipynb", ROOT / "docs" / "colab.ipynb"
FIGURE = "application/vnd.plotly.v1+json"


def read(notebook: Path) -> Any:
    return nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("notebook", [NOTEBOOK, COLAB], ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(notebook: Path) -> None:
    code = [cell for cell in read(notebook).cells if cell.cell_type == "code"]
    assert len(code) >= 5
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_every_cell_runs_and_every_figure_shows_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = many(tmp_path / "run", 24, epochs=12)
    monkeypatch.setenv("RUN", str(run))
    notebook = read(NOTEBOOK)
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


@pytest.mark.slow
def test_from_set_up_to_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for label in range(2):
        (images / f"{label}.jpg").write_bytes(tiny_image(label, 0))
    made = {"WHERE": tmp_path, "IMAGES": images, "DATASET": "demo", "TRIALS": 2, "EPOCHS": 1}
    for name, value in made.items():
        monkeypatch.setenv(name, str(value))
    notebook = read(COLAB)
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": COLAB.parent}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    [searched] = [cell for cell in code if "search.run()" in cell.source]
    tables, [result] = searched.outputs[:-1], searched.outputs[-1:]
    assert [each.output_type for each in tables] == ["display_data"]  # one, which was drawn anew
    assert "2 of 2 trials ended" in tables[0].data["text/html"]
    assert "best: " in result.data["text/plain"]
    text = "".join(out.get("text", "") for cell in code for out in cell.outputs)
    assert "test top-1 " in text
    assert len(searched.outputs) == 2
    predicted = "".join(out.get("text", "") for out in code[-1].outputs)
    assert predicted.count("%") == 10  # five classes of each image
    assert sum("image/jpeg" in out.get("data", {}) for out in code[-1].outputs) == 2
    assert (tmp_path / "runs" / "colab" / "final" / "model.pt").exists()
