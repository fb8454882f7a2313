"""Writes the card of a model: what the model is, what it may be used for, how good it is, and its
provenance.
"""

from results.analysis.error_analysis import BINS, ClassResult, by_class, calibration, confused_pairs
from results.analysis.final_run import FinalRun, describe_choice
from results.analysis.intervals import proportion
from results.page.final.final_page import commands, provenance
from results.page.formatting import percent, span
from results.page.render import render_markdown

SHOWN = 10
"""A card names at most this many classes, and as many pairs of classes."""


def card(trained: FinalRun) -> str:
    """Returns the model card of a final training as Markdown."""
    names = trained.class_names
    return render_markdown(
        "card.md",
        trained=trained,
        record=trained.record,
        metrics=_metrics(trained),
        contamination=contamination(trained),
        choice=describe_choice(trained.provenance),
        worst=[(names[each.label], percent(each.accuracy)) for each in _worst(trained)],
        pairs=[
            (names[pair.first], names[pair.second], pair.mistakes)
            for pair in confused_pairs(trained.predictions)[:SHOWN]
        ],
        commands=commands(trained),
        provenance=provenance(trained),
    )


def _metrics(trained: FinalRun) -> list[tuple[str, str, str]]:
    """Returns one row for each figure: its name, its value, and how to read it."""
    record, found = trained.record, calibration(trained.predictions)
    own = proportion(record.test_top1, record.test_images)
    rows = [
        ("test top-1", percent(record.test_top1), f"95 % interval {span(own)} (Wilson)"),
        ("test top-1 with flip averaging", percent(record.test_top1_flip),
         "mean logits of each image and its mirror image, from the same pass"),
        ("test top-5", percent(record.test_top5), ""),
        ("test loss", "not finite" if record.test_loss is None else f"{record.test_loss:.4f}",
         "mean cross-entropy"),
        ("expected calibration error", percent(found.ece),
         f"{BINS} bins of equal width, of the predicted class's softmax probability"),
        ("train top-1", percent(record.train_top1), "clean images, in evaluation mode"),
    ]  # fmt: skip
    for name, field in (("", "test_top1"), (" with flip averaging", "test_top1_flip")):
        mean = trained.over_seeds(field)
        if mean:
            seeds = ", ".join(str(seed) for seed in trained.seeds)
            read = f"95 % interval {span(mean)} (Student's t); seeds {seeds}"
            rows.append((f"mean test top-1{name} over seeds", percent(mean.mean), read))
    return rows


def contamination(trained: FinalRun) -> str:
    """Returns whole sentences on whether pretrained weights may have been trained on images of
    test.
    """
    weights = str(trained.record.config.get("weights", "none"))
    if weights == "none":
        return "It was trained from scratch: no pretrained weights have seen other images."
    if weights != "imagenet":
        return (
            f"It began with the weights in {weights}. What they were trained on isn't known here: "
            "where images of test were among it, the figures are too high."
        )
    if trained.provenance.get("of_imagenet"):
        return (
            "It began with ImageNet weights, and this dataset is a part of ImageNet: the weights "
            "know its classes, and may have been trained on the very images of test. So the "
            "figures may be too high for images that nobody has seen, and they can't be compared "
            "with those of networks trained from scratch."
        )
    return (
        "It began with ImageNet weights. The dataset isn't known as a part of ImageNet, but nobody "
        "has looked here for images that are in both: where there are some in test, the figures "
        "are too high. They can't be compared with those of networks trained from scratch."
    )


def _worst(trained: FinalRun) -> list[ClassResult]:
    found = [each for each in by_class(trained.predictions) if each.accuracy is not None]
    return sorted(found, key=lambda each: (each.accuracy or 0.0, each.label))[:SHOWN]
