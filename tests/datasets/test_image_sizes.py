"""Sizes: read from headers, named, and refused where the default size would lose details."""

import os
import shlex
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from datasets.archives.tree import open_tree
from datasets.census.image_sizes import advise_size, describe_sizes, summarise_sides
from datasets.manifest import read_manifest
from datasets.prepare import main, prepare
from datasets.sources import image_sizes
from datasets.sources.image_sizes import measure_sizes
from datasets.spec import DatasetError, Sample


def picture(width: int, height: int, kind: str = "JPEG", **options: object) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), (width % 256, 90, height % 256)).save(file, kind, **options)
    return file.getvalue()


def photographs(root: Path, *sides: int) -> Path:
    """2 classes × (`sides` + 1 test) JPEGs, each wider than its side by its number."""
    for label, name in enumerate(("cat", "dog")):
        for part, some in (("train", sides), ("test", sides[:1])):
            (root / part / name).mkdir(parents=True)
            for number, side in enumerate(some):
                content = picture(side + 2 * number + label, side)
                (root / part / name / f"{number}.jpg").write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("sides", "size"), [((65, 66, 66), 65), ((20, 300, 300, 300), 224), ((90, 90, 400), 90)]
)
def test_large_images_need_a_size_and_the_advised_command_works(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    sides: tuple[int, ...],
    size: int,
) -> None:
    source, data = photographs(tmp_path / "my photos", *sides), tmp_path / "da ta"
    given = ["folder", "--source", str(source), "--data", str(data), "--overwrite"]
    assert main(given) == 2
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    assert sentence.startswith(
        "error: --size must be given where the median of the images' shorter sides exceeds 64 px, "
        f"but these have shorter sides of {sides[0]} … {sides[-1]} px, "
    )
    assert not (data / "folder" / "manifest.json").exists()
    command = shlex.split(sentence.split("`")[1])
    assert command == ["python", "-m", "datasets.prepare", "folder", "--source", str(source),
                       "--data", str(data), "--overwrite", "--size", str(size)]  # fmt: skip
    assert main(command[3:]) == 0
    assert read_manifest(data / "folder").image_size == size


def test_small_images_have_a_default_and_their_sizes_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = photographs(tmp_path / "src", 64, 40, 64, 500)
    assert main(["folder", "--source", str(source), "--data", str(tmp_path)]) == 0
    assert (
        "original images: shorter sides of 40 … 500 px, 64 px in the median, 20 % above 64 px "
        "(10 images looked at)\n"
    ) in capsys.readouterr().out
    manifest = read_manifest(tmp_path / "folder")
    assert manifest.image_size == 64
    assert manifest.original_sizes == {
        "images": 10, "smallest": 40, "median": 64, "largest": 500, "large_share": 0.2
    }  # fmt: skip


def test_a_given_size_and_prepared_data_are_never_refused(tmp_path: Path) -> None:
    source = photographs(tmp_path / "src", 100, 100)
    manifest = prepare("folder", source=source, data=tmp_path, size=32, workers=1)
    assert prepare("folder", source=source, data=tmp_path) == manifest
    with pytest.raises(DatasetError, match="--size must be given"):
        prepare("folder", source=source, data=tmp_path, overwrite=True)
    assert read_manifest(tmp_path / "folder") == manifest


def test_headers_suffice_except_where_they_lie_far_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    noise = Image.frombytes("RGB", (300, 200), os.urandom(300 * 200 * 3))
    noise.save(tmp_path / "far.tif")  # its directory lies behind 180,000 bytes of pixels
    (tmp_path / "near.jpg").write_bytes(picture(90, 130)[:700])
    (tmp_path / "exif.jpg").write_bytes(picture(140, 150, exif=exif))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff text")
    (tmp_path / "empty.png").write_bytes(b"")
    tree = open_tree(tmp_path)
    samples = [Sample(path=path, label=0) for path in tree.files()]
    sizes = measure_sizes(tree, samples)
    assert sizes is not None
    assert (sizes["images"], sizes["smallest"], sizes["median"], sizes["largest"]) == (
        3, 90, 140, 200,
    )  # fmt: skip
    monkeypatch.setattr(image_sizes, "LOOKED_AT", 2)  # broken.jpg and far.tif
    assert measure_sizes(tree, samples) == summarise_sides([200])
    assert measure_sizes(tree, samples[:1]) is None
    assert measure_sizes(tree, []) is None


def test_the_advice_is_the_median_at_most_224() -> None:
    assert [advise_size(summarise_sides([side])) for side in (64, 65, 224, 4000)] == [
        None, 65, 224, 224,
    ]  # fmt: skip
    assert describe_sizes(summarise_sides([4000])) == (
        "shorter sides of 4,000 … 4,000 px, 4,000 px in the median, 100 % above 64 px "
        "(1 image looked at)"
    )
