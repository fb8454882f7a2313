"""Says something about a run: a note and tags, which `results.runs`, `results.show` and the run's
page show.

python -m results.annotate runs/NAME [--note TEXT] [--tag TAG …] [--untag TAG …]
"""

import sys
from pathlib import Path

from common.cli import Parser, refuse
from common.errors import UserError
from results.overview.annotations import annotate
from results.store import read_manifest


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.annotate`."""
    made = Parser(prog="python -m results.annotate", description=__doc__)
    made.add_argument("run", type=Path, help="a run directory, e.g. runs/NAME")
    made.add_argument("--note", help="the new note; an empty one removes it")
    made.add_argument("--tag", nargs="+", default=[], metavar="TAG", help="tags to add")
    made.add_argument("--untag", nargs="+", default=[], metavar="TAG", help="tags to remove")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 after an error.
    """
    options = parser().parse_args(arguments)
    try:
        read_manifest(options.run)  # a folder that isn't a run gets no notes
        found = annotate(options.run, note=options.note, add=options.tag, remove=options.untag)
    except (UserError, OSError) as error:
        return refuse(error)
    print(f"tags: {' '.join(found.tags) or 'none'}", f"note: {found.note or 'none'}", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
