"""Counts the files of a source that its listing doesn't take, so that none is left out silently."""

from collections.abc import Mapping

from datasets.census.left_out import LeftOut, Reason
from datasets.sources.layout import is_image
from datasets.spec import Listing, Source


def count_leftovers(source: Source, listing: Listing) -> Mapping[str, LeftOut]:
    """Returns what the source holds and the listing doesn't take, by reason.

    Every file is either a sample, a part of the layout, or counted here.
    """
    census = source.census()
    taken = {sample.path for sample in (*listing.train, *listing.test)} | set(listing.ignored)
    for path in source.files():
        if path not in taken:
            census.add(_reason(source, listing, path), path)
    for folder in listing.empty_classes:
        census.add(Reason.EMPTY_FOLDER, folder)
    return census.facts()


def _reason(source: Source, listing: Listing, path: str) -> Reason:
    """Returns why a file isn't taken."""
    split = next((folder for folder in listing.splits if path.startswith(folder)), None)
    if not is_image(source, path):
        return Reason.OUTSIDE if split is None else Reason.NOT_AN_IMAGE
    return Reason.UNLABELLED if split is None else Reason.WITHOUT_CLASS
