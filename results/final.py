"""Writes the HTML page and the model card of a final training.

They show its accuracy on test and over seeds, which classes it confuses, whether its confidence is
calibrated, its most confident mistakes, and the provenance.

python -m results.final runs/NAME/final
"""

import sys
from pathlib import Path

from common.cli import Parser, run_writer
from common.files import write_text_atomically

PAGE, CARD = "report.html", "MODEL_CARD.md"
"""In the folder of a final training, its page and its model card have these file names."""


def write_pages(folder: Path) -> tuple[Path, Path]:
    """Writes the page and the model card into the folder of a final training and returns both
    paths.

    Raises `RecordError` when a file of the training is missing or damaged, and `OSError` when the
    pages can't be written.
    """
    # Plotly takes a second to load, and `--help` should not wait for it.
    from results.analysis.final_run import read_final_run
    from results.page.final.final_page import page
    from results.page.final.model_card import card

    trained = read_final_run(folder)
    write_text_atomically(folder / PAGE, page(trained))
    write_text_atomically(folder / CARD, card(trained))
    return folder / PAGE, folder / CARD


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.final`."""
    made = Parser(prog="python -m results.final", description=__doc__)
    made.add_argument("final", type=Path, help="a folder of final training: runs/NAME/final")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 after an error.
    """
    folder = parser().parse_args(arguments).final
    return run_writer(lambda: write_pages(folder))


if __name__ == "__main__":
    sys.exit(main())
