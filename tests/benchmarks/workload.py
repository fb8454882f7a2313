"""The images that benchmarks work on: a part of a source, the same for every side."""

import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets.access import open_search_data
from datasets.archives.tree import open_tree
from datasets.manifest import read_manifest
from datasets.sources import demo
from datasets.sources.tiny_imagenet import list_samples
from datasets.spec import Sample, Tree
from datasets.splits import SearchData
from tests.benchmarks.measure import BenchmarkError, run

DATASET = "tiny-imagenet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """The first `classes` of a source (`None`: all) and at most `images` of each in a split."""

    classes: int | None
    images: int


class Workload:
    """A part of `source` (`None`: of the demo images), made ready in `folder`.

    `zip` holds it in Tiny ImageNet's official layout, `data` the betons made from that, and
    `folders()` the same images as JPEG files by our own split.
    """

    def __init__(self, source: Path | None, folder: Path, size: Size) -> None:
        self.zip, self.data, self._folder = folder / "images.zip", folder / "data", folder
        self._size, self._name = size, source.name if source else "demo"
        self._source = source
        tree = open_tree(source or _demo(folder))
        self.images = _write_part(tree, self.zip, size)
        run(["-m", "datasets.prepare", DATASET, "--source", self.zip, "--data", self.data])
        if read_manifest(self.data / DATASET).skipped:
            raise BenchmarkError(f"{self._name} has broken images; use another --source.")

    def facts(self) -> dict[str, Any]:
        """For the report."""
        return {"source": self._name, **asdict(self._size), "images_in_all": self.images}

    @property
    def directory(self) -> Path:
        """The prepared dataset's folder."""
        return self.data / DATASET

    def search_data(self) -> SearchData:
        """What a search sees of it."""
        return open_search_data(self.directory)

    def unseen(self, images: int) -> Path | None:
        """The folder of a prepared dataset of other training images, up to `images` of each class
        of the part, in its train and val. `None` where the part has all images of some class.
        """
        folder = self._folder / "unseen"
        folder.mkdir(exist_ok=True)
        path, data = folder / "images.zip", folder / "data"
        tree = open_tree(self._source or _draw_more(folder / "drawn", images))
        after = self._size.images if self._source else 0
        if not _write_part(tree, path, Size(classes=self._size.classes, images=images), after):
            return None
        run(["-m", "datasets.prepare", DATASET, "--source", path, "--data", data])
        return data / DATASET

    def folders(self) -> Path:
        """ROOT/{train,val}/CLASS/*.JPEG: what a search trains on, and what it decides on."""
        tree = open_tree(self.zip)
        listing = list_samples(tree)
        data = self.search_data()
        root = self._folder / "folders"
        for name, split in (("train", data.train), ("val", data.val)):
            for index in split.indices:
                sample = listing.train[index]  # a beton keeps the listing's order
                path = root / name / listing.class_ids[sample.label] / Path(sample.path).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(tree.read(sample.path))
        return root


def _demo(folder: Path) -> Path:
    (folder / "demo").mkdir()
    demo.generate(folder / "demo")
    return folder / "demo"


def _draw_more(folder: Path, images: int) -> Path:
    """The demo's classes with images that the demo doesn't have: `images` and one for test."""
    first = demo.TRAIN_PER_CLASS + demo.TEST_PER_CLASS
    last = first + images
    demo.write_images(folder, range(first, last), range(last, last + 1))
    return folder


def _write_part(tree: Tree, path: Path, size: Size, after: int = 0) -> int:
    """Writes a zip of the part; gives the number of its images. The first `after` training images
    of each class are left out, and 0 is given where that are all of a class.
    """
    listing = list_samples(tree)
    kept = listing.class_ids[: size.classes]
    if size.classes and len(kept) < size.classes:
        raise BenchmarkError(f"The source must have {size.classes} classes, but has {len(kept)}.")
    train = _take(listing.train, len(kept), size.images, after)
    test = _take(listing.test, len(kept), size.images)
    if len({sample.label for sample in train}) < len(kept):
        return 0
    with zipfile.ZipFile(path, "w") as archive:
        for sample in train:
            class_id = kept[sample.label]
            name = f"train/{class_id}/images/{Path(sample.path).name}"
            archive.writestr(f"part/{name}", tree.read(sample.path))
        lines = []
        for sample in test:
            name = Path(sample.path).name
            archive.writestr(f"part/val/images/{name}", tree.read(sample.path))
            lines.append(f"{name}\t{kept[sample.label]}\n")
        archive.writestr("part/val/val_annotations.txt", "".join(lines))
        archive.writestr("part/wnids.txt", "".join(f"{class_id}\n" for class_id in kept))
    return len(train) + len(test)


def _take(samples: tuple[Sample, ...], classes: int, images: int, after: int = 0) -> list[Sample]:
    """`images` of each of the first classes, behind the first `after`, in the listing's order."""
    passed = [0] * classes
    chosen = []
    for sample in samples:
        if sample.label < classes:
            passed[sample.label] += 1
            if after < passed[sample.label] <= after + images:
                chosen.append(sample)
    return chosen
