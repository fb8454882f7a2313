"""Defines the options of `datasets.prepare`, and their ranges."""

from pathlib import Path

from common.cli import Parser
from datasets.census.image_sizes import LARGE_PX
from datasets.registry import DATASETS
from datasets.spec import VAL_FRACTION, DatasetError

MAX_WORKERS = 1_024
"""At most this many processes decode."""
SMALLEST_PX, LARGEST_PX = 16, 512
"""Stored images have at least `SMALLEST_PX` and at most `LARGEST_PX` pixels a side."""
SMALLEST_VAL, LARGEST_VAL = 0.01, 0.5
"""Val is at least and at most this share of the training images."""


def parser() -> Parser:
    """Builds the parser of the command line."""
    result = Parser(
        prog="python -m datasets.prepare",
        description="Makes a dataset ready to train on.",
        epilog="datasets: " + "; ".join(f"{s.name} – {s.summary}" for s in DATASETS.values()),
    )
    result.add_argument("name", metavar="NAME", help="one of the datasets below")
    result.add_argument("--source", type=Path, metavar="PATH", help="archive or folder")
    result.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where to put it, as DIR/NAME, or DIR/folder-NAME for folder:NAME (default: data)",
    )
    result.add_argument(
        "--workers", type=int, metavar="N", help="decoding processes (default: one a core)"
    )
    result.add_argument(
        "--size",
        type=int,
        metavar="PX",
        help="side of the stored images in pixels (default: the dataset's own; it must be given "
        f"for images of yours that exceed {LARGE_PX} px)",
    )
    result.add_argument(
        "--val",
        type=float,
        metavar="SHARE",
        help="share of each class's training images that a search decides on, and doesn't train on "
        f"(default: {VAL_FRACTION})",
    )
    result.add_argument("--skip-broken", action="store_true", help="leave broken images out")
    result.add_argument(
        "--skip-empty", action="store_true", help="leave class folders without images out"
    )
    result.add_argument(
        "--zip-encoding",
        metavar="NAME",
        help="encoding of names in a zip archive that aren't marked as UTF-8, such as cp932 "
        "(default: UTF-8 where it fits, else cp437)",
    )
    result.add_argument("--overwrite", action="store_true", help="replace what is there")
    result.add_argument("--verify", action="store_true", help="read everything back and compare")
    return result


def check_options(
    workers: int | None, size: int | None, val: float | None, zip_encoding: str | None
) -> None:
    """Raises `DatasetError` with a sentence for each option that is out of range or unknown."""
    faults = []
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        faults.append(f"workers must lie in 1…{MAX_WORKERS}, but got workers={workers}.")
    if size is not None and not SMALLEST_PX <= size <= LARGEST_PX:
        faults.append(f"size must lie in {SMALLEST_PX}…{LARGEST_PX} pixels, but got {size}.")
    if val is not None and not SMALLEST_VAL <= val <= LARGEST_VAL:
        faults.append(
            f"val must lie in {SMALLEST_VAL}…{LARGEST_VAL} of the training images, but got {val:g}."
        )
    try:
        "name".encode(zip_encoding or "ascii")
    except LookupError:
        faults.append(
            "--zip-encoding must be an encoding that Python knows, such as cp932, gb18030 or "
            f"cp1252, but got {zip_encoding!r}."
        )
    if faults:
        raise DatasetError(faults)
