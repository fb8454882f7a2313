"""Trains a chosen configuration on train + val to the end, then opens test, once.

python -m trainables.final --config best.yaml [--repeats 3]
"""

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    from common.signals import exit_on_signals

    exit_on_signals("ended outside of the training; the same command goes on.")

from common.allowance import allowed_cores
from common.cli import UNFINISHED, Parser, refuse
from common.durations import seconds_of
from common.errors import UserError
from common.private_folder import keep_compiled_private
from common.signals import code_of, end_process, handle_signals
from common.text import did_you_mean
from results.analysis.final_run import RECORD, read_record
from results.records import FinalRecord
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


def train_final(config: Path, given: Mapping[str, Any]) -> FinalRecord:
    """Does what the command line does, in this process, and returns the record of the training, or
    of the first one of several.

    config: the path of a best.yaml.
    given: values of the command line's options, by their names with underscores.

    Raises `UserError` with one sentence for each option that is unknown or wrong, `FinalError`
    where the time budget is over, else what `run` raises, and `KeyboardInterrupt` after a signal,
    once the training is saved.
    """
    options = _options_of({"config": config, **given})
    from trainables.final_model.repeats import FinalTrainingOptions, run
    from trainables.final_model.training import FinalError
    from trainables.training.epoch import PauseError

    try:
        with handle_signals(leave=_break_off) as signals:
            run(FinalTrainingOptions(**options))
    except OSError as error:
        raise FinalError(
            f"{error}: check that path and its disk, then train again; the training goes on."
        ) from error
    except PauseError as pause:
        if signals.received is not None:
            raise KeyboardInterrupt(f"{pause}; the same call goes on from there.") from pause
        raise FinalError(
            f"time_budget must be enough for the training, but is over. {pause}; the same call "
            "goes on from there."
        ) from pause
    return read_record((options["out"] or config.parent / "final") / RECORD)


def _break_off(_code: int) -> None:
    raise KeyboardInterrupt(
        "The training was broken off; the same call goes on from its last save."
    )


def _options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all options, with their defaults where they aren't given or are `None`. Raises
    `UserError` with one sentence for each option that is unknown or wrong.
    """
    known = {each.dest: each for each in parser()._actions if each.dest != "help"}
    values = {name: each.default for name, each in known.items()}
    errors = []
    for name, value in given.items():
        if name not in known:
            hint = did_you_mean(name, known, otherwise=f"known are {', '.join(known)}.")
            errors.append(f"{name} is not an option of final training; {hint}")
        elif value is not None:
            try:
                values[name] = _read_value(known[name], value)
            except (argparse.ArgumentTypeError, ValueError) as error:
                errors.append(
                    f"{name} must be as the command line has it, but got {value!r}: {error}."
                )
    if errors:
        raise UserError(errors)
    return values


def _read_value(option: argparse.Action, value: Any) -> Any:
    """Returns an option's value as the command line would read it. Raises `ValueError` and
    `ArgumentTypeError`.
    """
    if option.nargs == 0 or isinstance(value, bool):
        if option.nargs == 0 and isinstance(value, bool):
            return value
        raise ValueError("True and False are for switches alone")
    read = option.type(str(value)) if callable(option.type) else str(value)
    if option.choices is not None and read not in option.choices:
        raise ValueError(f"choose from {', '.join(option.choices)}")
    return read


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
