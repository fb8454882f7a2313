"""Trains a chosen configuration on train + val to the end, then opens test, once.

python -m trainables.final --config best.yaml [--repeats 3]
"""

import argparse
import logging
import sys
from pathlib import Path

if __name__ == "__main__":
    from common.signals import exit_on_signals

    exit_on_signals("ended outside of the training; the same command goes on.")

from common.allowance import allowed_cores
from common.cli import UNFINISHED, Parser, refuse
from common.durations import seconds_of
from common.errors import UserError
from common.private_folder import keep_compiled_private
from common.signals import code_of, end_process, handle_signals
from trainables.config import PRECISIONS


def _positive(text: str) -> int:
    """Parses a whole number. Raises `ArgumentTypeError` for one below 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be ≥ 1, but got {number}")
    return number


def _duration(text: str) -> float:
    """Parses a duration in seconds. Raises `ArgumentTypeError` for something else and for 0."""
    duration_s = seconds_of(text)
    if not duration_s:
        raise argparse.ArgumentTypeError(
            f"must be a duration such as 90s, 45m or 1h30m, but got {text!r}"
        )
    return duration_s


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
    add("--dataset", help="what to train on (default: the dataset that the search chose on)")
    add(
        "--accept-dataset",
        action="store_true",
        help="train on other images than the search's, if their classes are the same",
    )
    add("--out", type=Path, help="where to write (default: final/ beside --config)")
    add("--epochs", type=_positive, help="train for so many (default: as the configuration says)")
    add("--weights", help="none, imagenet or a file (default: as the configuration says)")
    add(
        "--precision",
        choices=PRECISIONS[1:],  # auto is measured by a search
        help="what the network computes in (default: as the configuration says)",
    )
    add("--seed", type=int, help="of the network, the order and the augmentation")
    add(
        "--deterministic",
        action="store_true",
        help="request algorithms that repeat their numbers on GPUs, as CPUs do (default: as the "
        "configuration says)",
    )
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
    add(
        "--time-budget",
        type=_duration,
        metavar="DURATION",
        help="pause after this time, e.g. 90s, 45m, 1h30m; the same command goes on, with as much "
        "time again (default: none)",
    )
    add("--overwrite", action="store_true", help="replace a finished final training")
    return result


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0, 2 for an error, `UNFINISHED` when the time budget
    is over, and 128 + the number of the signal that has ended it.
    """
    given = parser().parse_args(arguments)
    keep_compiled_private()
    # After the arguments are read: torch takes seconds that `--help` needn't wait for.
    from trainables.final_model.repeats import FinalTrainingOptions, run
    from trainables.training.epoch import PauseError

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with handle_signals() as signals:
            run(FinalTrainingOptions(**vars(given)))
    except UserError as error:
        return refuse(error)
    except OSError as error:
        return refuse(f"{error}: check that path and its disk, then run the same command again.")
    except PauseError as pause:
        print(f"{pause}; the same command goes on from there.", file=sys.stderr)
        return signals.exit_code() or UNFINISHED
    except KeyboardInterrupt as interruption:
        print(
            "interrupted; the same command goes on from the last checkpoint, if there was one.",
            file=sys.stderr,
        )
        return code_of(interruption)
    return 0


if __name__ == "__main__":
    end_process(main())
