"""Predicts the classes of image files and writes them where the user wants them."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from common.cli import refuse
from common.progress_bar import progress
from common.text import printable
from datasets.census.left_out import describe_left_out
from trainables.final_model.description import Description
from trainables.final_model.inference.back_ends import Classifier, open_classifier
from trainables.final_model.inference.classification import Classified, classify
from trainables.final_model.inference.image_files import FoundFiles, LeftOutFile, find_images
from trainables.final_model.inference.prediction_files import (
    CsvWriter,
    Guess,
    JsonWriter,
    SubmissionWriter,
    TextWriter,
    Writer,
    describe_model,
    open_output,
)
from trainables.final_model.inference.prediction_options import (
    PredictionError,
    PredictionOptions,
    find_blank_class,
    find_option_faults,
)

SHOW_FROM = 100
"""Progress is shown for at least this many images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """A `Counts` holds how many images have predictions, and how many files have none."""

    images: int
    left_out: int


def run(options: PredictionOptions) -> Counts:
    """Predicts, writes and prints all that the options ask for, and returns the counts.

    Raises `UserError` and `OSError`; then no file was changed.
    """
    found = find_images(options.images)
    if faults := find_option_faults(options, found):
        raise PredictionError(faults)
    refuse(*(each.sentence for each in found.left_out))
    _check_any(len(found.images), of=len(found.images))
    classifier = open_classifier(options.model, options.backend, len(found.images))
    if options.submission and (fault := find_blank_class(classifier.description)):
        raise PredictionError(fault)
    predicted, left_out = 0, list(found.left_out)
    with ExitStack() as stack:
        writers = _open_writers(options, classifier, stack)
        for each in found.left_out:
            _leave_out(each, writers)
        advance = stack.enter_context(_show_progress(options, len(found.images)))
        for batch in classify(found.images, classifier, options.top, options.batch_size):
            _write(batch, classifier.description, writers)
            predicted += len(batch.paths)
            left_out += batch.left_out
            advance(len(batch.paths) + len(batch.left_out))
        _check_any(predicted, of=len(found.images))
        for writer in writers:
            writer.end(predicted, found.hidden.facts())
    counts = Counts(images=predicted, left_out=len(left_out))
    _summarise(options, found, counts)
    return counts


def _check_any(predicted: int, *, of: int) -> None:
    """Raises `PredictionError` where none of the images has a prediction."""
    if not predicted:
        raise PredictionError(
            f"At least one image must be readable, but none of {of:,} is, so nothing was written; "
            "name others."
        )


def _open_writers(
    options: PredictionOptions, classifier: Classifier, stack: ExitStack
) -> list[Writer]:
    """Opens what the options name, until the stack is left; text where they name nothing."""
    outputs = options.outputs()
    files = {option: stack.enter_context(open_output(path)) for option, path in outputs.items()}
    writers = list[Writer]()
    if "--csv" in files:
        writers.append(CsvWriter(files["--csv"]))
    if "--json" in files:
        model = describe_model(options.model, classifier.name, classifier.description)
        writers.append(JsonWriter(files["--json"], model))
    if "--submission" in files:
        writers.append(SubmissionWriter(files["--submission"]))
    return writers or [TextWriter()]


@contextmanager
def _show_progress(options: PredictionOptions, count: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes how many images were done, and shows many of them on stderr.

    Predictions that are printed on a terminal show by themselves how far they are.
    """
    prints = "-" in options.outputs().values() or not options.outputs()
    if count < SHOW_FROM or (prints and sys.stdout.isatty()):
        yield lambda _: None
    else:
        with progress("predict", count, "images") as advance:
            yield advance


def _write(batch: Classified, description: Description, writers: Sequence[Writer]) -> None:
    """Hands a batch to all writers, and prints why files have no predictions."""
    for path, classes, shares in zip(
        batch.paths, batch.order.tolist(), batch.probabilities.tolist(), strict=True
    ):
        guesses = [
            Guess(
                rank=rank,
                class_id=description.class_ids[number],
                class_name=description.class_names[number],
                probability=float(f"{share:.7g}"),
            )
            for rank, (number, share) in enumerate(zip(classes, shares, strict=True), start=1)
        ]
        for writer in writers:
            writer.add(path, guesses)
    for each in batch.left_out:
        refuse(each.sentence)
        _leave_out(each, writers)


def _leave_out(file: LeftOutFile, writers: Sequence[Writer]) -> None:
    for writer in writers:
        writer.leave_out(file)


def _summarise(options: PredictionOptions, found: FoundFiles, counts: Counts) -> None:
    """Prints on stderr what was written, and how many files have no prediction."""
    lines = describe_left_out(found.hidden.facts())
    if found.repeated:
        lines.append(f"named more than once, predicted once: {found.repeated:,} times")
    if counts.left_out or options.outputs():
        whole = counts.images + counts.left_out
        lines.append(
            f"predicted {counts.images:,} of {whole:,} files, {counts.left_out:,} left out"
        )
    lines += [f"wrote {printable(path)}" for path in options.outputs().values() if path != "-"]
    for line in lines:
        print(line, file=sys.stderr)
