"""Builds the page of a final training, which begins with its numbers and continues with their
details.
"""

from collections.abc import Iterator
from typing import Any

from common.cli import quote_command
from common.text import format_duration, printable
from results.analysis.error_analysis import BINS, Calibration, calibration
from results.analysis.final_run import FinalRun, describe_choice
from results.analysis.intervals import proportion
from results.page.final.calibration import calibration_section
from results.page.final.examples import Gallery, pairs, surest_mistakes
from results.page.final.per_class import COLUMNS, class_rows, classes
from results.page.formatting import count, percent, points, span, value
from results.page.headline import Card
from results.page.render import render
from results.records import FinalRecord


def page(trained: FinalRun) -> str:
    """Returns the HTML of a final training's page."""
    found = calibration(trained.predictions)
    galleries: list[Gallery] = pairs(trained)
    return render(
        "final.html",
        sections=[classes(trained), calibration_section(found)],
        trained=trained,
        headline=headline(trained),
        choice=describe_choice(trained.provenance),
        cards=list(cards(trained, found)),
        seeds=seed_rows(trained),
        pairs=galleries,
        surest=surest_mistakes(trained),
        columns=COLUMNS,
        rows=class_rows(trained),
        commands=commands(trained),
        config={name: value(item) for name, item in trained.record.config.items()},
        provenance=provenance(trained),
    )


def headline(trained: FinalRun) -> str:
    """Returns a sentence with the accuracy on test and, where there are several seeds, its mean
    over them.
    """
    record = trained.record
    reached = f"{percent(record.test_top1)} of {record.test_images:,} test images are recognised"
    mean = trained.over_seeds("test_top1")
    if mean is None:
        return f"{reached}."
    seeds = f"{percent(mean.mean)} on average over {len(trained.repeats)} seeds"
    return f"{reached}; {seeds} ({span(mean)})."


def cards(trained: FinalRun, found: Calibration) -> Iterator[Card]:
    """Yields the numbers at the head of the page, each with the note that it has to be read
    with.
    """
    record = trained.record
    own = proportion(record.test_top1, record.test_images)
    yield Card(
        label="test top-1",
        number=percent(record.test_top1),
        note=f"{span(own)} for {count(record.test_images, 'image')}, which were opened once",
    )
    yield from _seed_card(trained)
    if record.test_top1_flip is not None:
        more = points(abs(record.test_top1_flip - record.test_top1))
        way = "more" if record.test_top1_flip >= record.test_top1 else "less"
        yield Card(
            label="with flip averaging",
            number=percent(record.test_top1_flip),
            note=f"{more} {way}, by the mean logits of each image and its mirror image, seen in "
            "the same pass",
        )
    yield Card(
        label="test top-5", number=percent(record.test_top5), note="among the five likeliest"
    )
    yield Card(
        label="calibration error",
        number=percent(found.ece),
        note=f"ECE over {BINS} bins of equal width; it is {percent(found.confidence)} sure on "
        f"average, and right {percent(record.test_top1)} of the time",
    )
    yield Card(
        label="training",
        number=format_duration(record.wall_s),
        note=f"{count(record.train_images, 'image')} of train and val, "
        f"{count(int(record.config['epochs']), 'epoch')}; train top-1 {percent(record.train_top1)}",
    )


def _seed_card(trained: FinalRun) -> Iterator[Card]:
    mean = trained.over_seeds("test_top1")
    if mean is None:
        return
    flip = trained.over_seeds("test_top1_flip")
    with_flip = f"; with flip averaging {percent(flip.mean)}, {span(flip)}" if flip else ""
    yield Card(
        label=f"mean of {len(trained.repeats)} seeds",
        number=percent(mean.mean),
        note=f"{span(mean)}, 95 % by Student's t{with_flip}",
    )


def seed_rows(trained: FinalRun) -> list[list[str]]:
    """Returns one table row for each seed, that of the published training first; the table is empty
    where there is only one seed.
    """
    if len(trained.repeats) == 1:
        return []
    return [
        [
            str(record.config["seed"]), percent(record.test_top1), percent(record.test_top1_flip),
            percent(record.test_top5), _loss(record), percent(record.train_top1),
        ]
        for record in trained.repeats
    ]  # fmt: skip


def _loss(record: FinalRecord) -> str:
    return "not finite" if record.test_loss is None else f"{record.test_loss:.3f}"


def commands(trained: FinalRun) -> list[str]:
    """Returns the commands that use the model, to be typed in the project's root."""
    return [
        f"{quote_command('python -m trainables.predict', trained.folder)} IMAGE …",
        quote_command("python -m trainables.export", trained.folder),
    ]


def provenance(trained: FinalRun) -> list[tuple[str, str]]:
    """Returns (name, value) for each entry of the provenance, with a dash for a missing value."""
    recorded = trained.provenance
    selection: dict[str, Any] = recorded.get("selection", {})
    searched: dict[str, Any] = selection.get("provenance", {})
    chosen: dict[str, Any] | None = recorded.get("chosen_on")
    rows = [
        *([("configuration chosen on", _images(chosen))] if chosen else []),
        ("configuration chosen by", selection.get("selected_by")),
        ("its val_top1 in the search", _share(selection.get("value"))),
        ("trial", selection.get("trial")),
        ("run", searched.get("run")),
        ("search's command", searched.get("command")),
        ("search's commit", searched.get("commit")),
        ("trained and tested on" if chosen else "dataset", _images(recorded)),
        *(
            [("value that is white in 16-bit and float images", recorded["white"])]
            if recorded.get("white")
            else []
        ),
        ("terms of the images", recorded.get("terms")),
        ("device", recorded.get("device")),
        ("threads", recorded.get("threads")),
        ("Python, torch, torchvision", _versions(recorded)),
    ]
    return [(name, "–" if item is None else printable(str(item))) for name, item in rows]


def _images(named: dict[str, Any]) -> str:
    """Returns which images are meant: their dataset and its fingerprint."""
    return f"{named['dataset']}, fingerprint {named.get('dataset_fingerprint', '–')}"


def _share(item: object) -> str | None:
    return percent(item) if isinstance(item, float) else None


def _versions(recorded: dict[str, Any]) -> str:
    return ", ".join(str(recorded.get(name, "–")) for name in ("python", "torch", "torchvision"))
