"""Trains a chosen configuration on train + val to the end, then opens test, once.

python -m trainables.final --config best.yaml [--repeats 3]
"""

import argparse
import logging
import sys
from pathlib import Path

from common.allowance import allowed_cores
from common.cli import INTERRUPTED, Parser, refuse
from common.errors import UserError
from common.private_folder import keep_compiled_private


def _positive(text: str) -> int:
    """Parses a whole number. Raises `ArgumentTypeError` for one below 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be ≥ 1, but got {number}")
    return number


def parser() -> Parser:
    """Returns the command line's parser, with its options and their help texts."""
    result = Parser(prog="python -m trainables.final", description=__doc__)
    add = result.add_argument
    add("--config", type=Path, required=True, help="a best.yaml")
    add(
        "--data",
        type=Path,
        default=Path("data"),
        help="where prepared datasets lie (default: data)",
    )
    add(
        "--source", type=Path, help="archive or folder to prepare the dataset from if it is missing"
    )
    add("--out", type=Path, help="where to write (default: final/ beside --config)")
    add("--epochs", type=_positive, help="train for so many (default: as the configuration says)")
    add("--weights", help="none, imagenet or a file (default: as the configuration says)")
    add("--seed", type=int, help="of the network, the order and the augmentation")
    add(
        "--repeats",
        type=_positive,
        default=1,
        help="train so often, each time with the next seed, for a mean and interval (default: 1)",
    )
    cores = allowed_cores().amount
    add(
        "--threads", type=_positive, default=cores, help="of torch on the CPU (default: one a core)"
    )
    add("--overwrite", action="store_true", help="replace a finished final training")
    return result


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0, 2 for an error, 130 when interrupted."""
    given = parser().parse_args(arguments)
    keep_compiled_private()
    # After the arguments are read: torch takes seconds that `--help` needn't wait for.
    from trainables.final_model.training import FinalTrainingOptions, run

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        folder = run(FinalTrainingOptions(**vars(given)))
    except UserError as error:
        return refuse(error)
    except OSError as error:
        return refuse(f"{error}: check that path and its disk, then run the same command again.")
    except KeyboardInterrupt:
        print(
            "interrupted; the same command goes on from the last checkpoint, if there was one.",
            file=sys.stderr,
        )
        return INTERRUPTED
    return write_pages(folder)


def write_pages(folder: Path) -> int:
    """Writes report and model card of a final training and prints their paths; returns the exit
    code.
    """
    # This import is here because Plotly takes a second to load and `--help` doesn't need it.
    from results.final import main as write

    return write([str(folder)])


if __name__ == "__main__":
    sys.exit(main())
