"""The images that benchmarks work on: a part of a source, the same for every side."""

import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets.access import open_search_data
from datasets.archives.tree import open_tree
from datasets.manifest import read_manifest
from datasets.sources.demo import DEMO
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
    assert DEMO.generate is not None
    (folder / "demo").mkdir()
    DEMO.generate(folder / "demo")
    return folder / "demo"


def _write_part(tree: Tree, path: Path, size: Size) -> int:
    """Writes a zip of the part; gives the number of its images."""
    listing = list_samples(tree)
    kept = listing.class_ids[: size.classes]
    if size.classes and len(kept) < size.classes:
        raise BenchmarkError(f"The source must have {size.classes} classes, but has {len(kept)}.")
    train, test = (
        _first(samples, len(kept), size.images) for samples in (listing.train, listing.test)
    )
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


def _first(samples: tuple[Sample, ...], classes: int, images: int) -> list[Sample]:
    """The first images of each of the first classes, in the listing's order."""
    taken = [0] * classes
    chosen = []
    for sample in samples:
        if sample.label < classes and taken[sample.label] < images:
            taken[sample.label] += 1
            chosen.append(sample)
    return chosen
