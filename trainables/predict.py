"""Prints or writes the likeliest classes of images, according to a trained model.

python -m trainables.predict MODEL IMAGE… [--csv FILE] [--json FILE] [--submission FILE]
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":
    from common.signals import exit_on_signals

    exit_on_signals("ended before anything was written.")

from common.cli import INCOMPLETE, Parser, refuse
from common.errors import UserError
from common.signals import code_of, end_process, handle_signals

BACK_ENDS = ("auto", "torch", "onnx")
"""The option `--backend` has these values."""


def _positive(text: str) -> int:
    """Parses a whole number. Raises `ArgumentTypeError` for one below 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be ≥ 1, but got {number}")
    return number


def _top(text: str) -> int | None:
    """Parses a number of classes, or `all` as `None`. Raises `ArgumentTypeError` for others."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be all or a number ≥ 1, but got {text!r}")
    return int(text)


def parser() -> Parser:
    """Returns the command line's parser, with its options and their help texts."""
    result = Parser(prog="python -m trainables.predict", description=__doc__)
    add = result.add_argument
    add(
        "model",
        metavar="MODEL",
        type=Path,
        help="a folder of final training, as runs/NAME/final, or an exported .safetensors or .onnx "
        "file",
    )
    add(
        "images",
        metavar="IMAGE",
        type=Path,
        nargs="+",
        help="image files, folders with all that they hold, and quoted patterns, as 'a/**/*.png'",
    )
    add("--csv", metavar="FILE", help="write a table with a row for each image and class; - prints")
    add("--json", metavar="FILE", help="write an object with model, images, errors; - prints it")
    add(
        "--submission",
        metavar="FILE",
        help="write a line for each image, file name and id of its likeliest class, as Tiny "
        "ImageNet's evaluation server took them; - prints them",
    )
    add("--top", type=_top, default=5, metavar="N", help="so many classes, or all (default: 5)")
    add(
        "--batch-size",
        type=_positive,
        metavar="N",
        help="so many images at once (default: 128, more on a GPU)",
    )
    add(
        "--backend",
        choices=BACK_ENDS,
        default="auto",
        help="what computes (default: auto: onnx where FINAL/export/model.onnx gives the same "
        "numbers, else torch)",
    )
    return result


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns the exit code: 0, 2 where nothing was predicted, `INCOMPLETE`
    where some files have no prediction, and 128 + the number of the signal that has ended it.
    """
    given = parser().parse_args(arguments)
    # After the arguments are read: these imports take time that `--help` needn't wait for.
    from trainables.final_model.inference.prediction import run
    from trainables.final_model.inference.prediction_options import PredictionOptions

    try:
        with handle_signals():
            counts = run(PredictionOptions(**vars(given)))
    except UserError as error:
        return refuse(error)
    except OSError as error:
        return refuse(f"{error}: check that path and its disk, then run the same command again.")
    except KeyboardInterrupt as interruption:
        print("interrupted; no file was written.", file=sys.stderr)
        return code_of(interruption)
    return INCOMPLETE if counts.left_out else 0


if __name__ == "__main__":
    end_process(main())
