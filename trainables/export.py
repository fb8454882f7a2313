"""Exports a final model to formats that other programs read, and tries each file before it stays.

python -m trainables.export runs/NAME/final [--formats safetensors pt2 onnx] [--to FOLDER]
"""

import sys
from pathlib import Path

from common.cli import Parser, refuse
from common.errors import UserError

FORMATS = ("safetensors", "pt2", "onnx")
"""A model can be exported to these formats."""


def parser() -> Parser:
    """Returns the command line's parser, with its options and their help texts."""
    result = Parser(prog="python -m trainables.export", description=__doc__)
    add = result.add_argument
    add("final", metavar="FINAL", type=Path, help="a folder of final training: runs/NAME/final")
    add("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="which (default: all)")
    add("--to", type=Path, help="the folder to write to (default: export/ in FINAL)")
    return result


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    options = parser().parse_args(arguments)
    # After the arguments are read: torch takes seconds that `--help` needn't wait for.
    from trainables.final_model.exporters import export

    try:
        for path, difference in export(options.final, options.to, options.formats):
            print(f"{path}: logits differ by at most {difference:.1e} of the largest")
    except (UserError, OSError) as error:
        return refuse(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
