"""A final training as one HTML page, and its model card.

How good it is on test and over seeds, which classes it confuses, whether its confidence can be
believed, its surest mistakes, and where it all comes from.

python -m results.final runs/NAME/final
"""

import sys
from pathlib import Path

from common.cli import Parser, run_writer
from common.files import write_text_atomically

PAGE, CARD = "report.html", "MODEL_CARD.md"


def write_pages(folder: Path) -> tuple[Path, Path]:
    """Writes the page and the card into the folder of a final training and returns their paths.

    Raises `RecordError` when something there is missing or damaged, `OSError` when they can't be
    written.
    """
    # Plotly takes a second to load that `--help` needn't wait for.
    from results.analysis.final_run import read_final_run
    from results.page.final_page import page
    from results.page.model_card import card

    trained = read_final_run(folder)
    write_text_atomically(folder / PAGE, page(trained))
    write_text_atomically(folder / CARD, card(trained))
    return folder / PAGE, folder / CARD


def parser() -> Parser:
    """The command line."""
    made = Parser(prog="python -m results.final", description=__doc__)
    made.add_argument("final", type=Path, help="a folder of final training: runs/NAME/final")
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    folder = parser().parse_args(arguments).final
    return run_writer(lambda: write_pages(folder))


if __name__ == "__main__":
    sys.exit(main())
