"""Writes the page of what each parameter does: `python -m results.published.make_effects`."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.files import write_text_atomically
from results.analysis.curve_table import read_table
from results.analysis.parameter_effects import RESAMPLES, Effect, effects
from results.published.page_parts import paths_parser, table_head

HERE = Path(__file__).resolve().parent
CURVES = HERE / "curves"
PAGE = HERE / "effects.md"

TABLES = {
    "efficientnet_lite0": "EfficientNet-Lite0 with ImageNet weights, 20 classes of Tiny ImageNet,\n"
    "50 images a class, at most 128 px, 10 epochs",
    "demo": "ResNet-10 from scratch, 20 classes of drawn shapes, 60 images a class, 15 epochs",
}
"""The tables of recorded trainings with 80 configurations or more, and what was trained."""

Column = NDArray[np.float64]


def _decades(lr: Column) -> Column:
    return np.asarray(np.log10(lr) - np.log10(lr).mean(), dtype=np.float64)


def _on(values: Column) -> Column:
    return np.asarray(values > 0, dtype=np.float64)


PROPERTIES: dict[str, tuple[str, Callable[[Any], Column]]] = {
    "images of 128 px, not 96": ("image_size", lambda px: 1.0 * (px == 128)),
    "a dense layer before the last one": ("head_width", _on),
    "3 to 6 of 9 stages frozen, not 0 to 2": (
        "freeze_depth",
        lambda n: 1.0 * ((n >= 3) & (n <= 6)),
    ),
    "7 to 9 stages frozen": ("freeze_depth", lambda n: 1.0 * (n >= 7)),
    "learning rate, 10 times as high": ("lr", _decades),
    "learning rate, (decades from the mean)²": ("lr", lambda lr: _decades(lr) ** 2),
    "mirrored images": ("flip", _on),
    "shifted images": ("crop", _on),
    "TrivialAugment": ("policy", lambda policy: 1.0 * (policy == "trivial")),
    "MixUp": ("mixup_alpha", _on),
    "CutMix": ("cutmix_alpha", _on),
    "Cutout": ("cutout", _on),
    "dropout": ("dropout", _on),
    "label smoothing": ("label_smoothing", _on),
    "weight decay": ("weight_decay", _on),
    "averaged weights": ("ema", _on),
}
"""A row of the page is about one property: its words -> a parameter, and who has the property."""

INTRODUCTION = """# What each parameter does

Every configuration of a recorded table ([curves/](curves/README.md)) was trained to its end,
whatever it was. A least-squares fit of all properties together gives the effect of each, all others
equal, on val_top1 after the last epoch and on the gap (training minus val), both in points of
accuracy. An effect is that of having a property at all, whatever its strength in the space.

- Brackets: 95 % of {resamples:,} bootstrap samples of configurations. **Bold**: more than chance
  gives to any one of the column's effects together (Bonferroni).
- A configuration that was trained with several seeds counts once, by their mean.
- These are small sets: 20 classes, 900 and 1,080 training images, val of 100 and 120. What a
  parameter does there in 10 or 15 epochs isn't what it does in 300.

What follows from them stands in [lessons.md](lessons.md).
"""


def columns_of(table: Path) -> tuple[dict[str, Column], dict[str, Column]]:
    """Returns the properties of a table's configurations, and their outcomes in points: val_top1
    and the gap after the last epoch, the mean of all seeds. A property that all or none of them
    have is left out.
    """
    ends, params = defaultdict[int, list[tuple[float, float]]](list), dict[int, dict[str, Any]]()
    for training in read_table(table).trainings:
        if training["fidelity"] == "full":
            val, train = (training["curves"][name][-1] for name in ("val_top1", "train_top1"))
            ends[training["row"]].append((100 * val, 100 * (train - val)))
            params[training["row"]] = training["params"]
    found = {
        name: read(np.array([own[parameter] for own in params.values()]))
        for name, (parameter, read) in PROPERTIES.items()
        if all(parameter in own for own in params.values())
    }
    val_top1, gap = np.array([np.mean(ends[row], axis=0) for row in params]).T
    properties = {name: column for name, column in found.items() if np.ptp(column) > 0}
    return properties, {"val_top1": val_top1, "gap": gap}


def page(folder: Path) -> str:
    """Returns the text of the page, from the tables in `folder`."""
    return "\n".join([INTRODUCTION.format(resamples=RESAMPLES), *_tables(folder)])


def _tables(folder: Path) -> Iterator[str]:
    for name, words in TABLES.items():
        properties, outcomes = columns_of(folder / f"{name}.npz")
        top1, gap = (effects(properties, outcomes[each]) for each in ("val_top1", "gap"))
        count = len(outcomes["gap"])
        yield f"## `{name}`: {count} configurations\n\n{words}.\n"
        yield table_head("| property | configurations with it | val_top1 | gap |")
        for each, column in properties.items():
            with_it = f"{column.sum():.0f}" if set(column) == {0.0, 1.0} else "–"
            yield f"| {each} | {with_it} | {_describe(top1[each])} | {_describe(gap[each])} |"
        yield ""


def _describe(effect: Effect) -> str:
    words = f"{effect.value:+.1f} [{effect.low:+.1f}…{effect.high:+.1f}]"
    return f"**{words}**" if effect.stands_out else words


def main(arguments: list[str] | None = None) -> None:
    """Writes the page with `arguments` (default: those of the process)."""
    options = paths_parser("make_effects", __doc__, curves=CURVES, out=PAGE).parse_args(arguments)
    write_text_atomically(options.out, page(options.curves))


if __name__ == "__main__":
    main()
