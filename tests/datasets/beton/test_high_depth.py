"""16-bit and float images: one scale for a dataset, from the values that train uses."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets.access import TRAIN_FILE, open_final_data, open_search_data
from datasets.beton import decode
from datasets.beton.decode import decode_image, decode_into
from datasets.census.value_range import WHITES, describe_range, find_white
from datasets.manifest import Manifest, read_manifest, write_manifest
from datasets.prepare import main, prepare, remarks
from datasets.spec import DatasetError

SIDE = 16
KINDS = {
    "16-bit gray PNG": (np.uint16, 2, ".png"),
    "16-bit gray TIFF": (np.uint16, 2, ".tif"),
    "16-bit RGB PNG": (np.uint16, 3, ".png"),
    "16-bit RGB TIFF": (np.uint16, 3, ".tif"),
    "float gray TIFF": (np.float32, 2, ".tif"),
    "double gray TIFF": (np.float64, 2, ".tif"),
    "float RGB TIFF": (np.float32, 3, ".tif"),
}  # fmt: skip
"""Kind of image -> its type, the dimensions of its array, and its suffix."""


def encoded(values: NDArray[Any], suffix: str) -> bytes:
    """An image file of RGB, RGBA or gray values."""
    if values.ndim == 3:
        values = values[..., [2, 1, 0, 3][: values.shape[2]]]
    return bytes(cv2.imencode(suffix, values)[1])


def drawn(kind: str, largest: float, number: int = 0) -> NDArray[Any]:
    """Random values of which the largest is exactly `largest`."""
    dtype, dimensions, _ = KINDS[kind]
    shape = (SIDE, SIDE, 3)[:dimensions]
    values = np.random.default_rng(number).uniform(0, largest, shape).astype(dtype)
    values[3, 4] = largest
    return values


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def dataset(root: Path, kind: str, train: float, test: float) -> Path:
    """2 classes × (4 train + 2 test) images; only one in each split uses all of its range."""
    suffix = KINDS[kind][2]
    files = {}
    for part, count, largest in (("train", 4, train), ("test", 2, test)):
        for label in range(2):
            for number in range(count):
                peak = largest if label == number == 0 else train / 2
                values = drawn(kind, peak, 10 * label + number)
                files[f"{part}/{'ab'[label]}/{number}{suffix}"] = encoded(values, suffix)
    return write(root, files)


def convert(tmp_path: Path, source: Path, **options: Any) -> Manifest:
    given = {"size": SIDE, "workers": 1} | options
    return prepare("folder", source=source, data=tmp_path / "data", **given)


def stored(directory: Path, manifest: Manifest) -> NDArray[np.uint8]:
    """The pixels of the training images, in the order of the source's paths."""
    from datasets.beton.format import HEADER, METADATA, METADATA_START

    path = directory / TRAIN_FILE
    count = int(np.fromfile(path, dtype=HEADER, count=1)["num_samples"][0])
    rows = np.fromfile(path, dtype=METADATA, count=count, offset=METADATA_START)
    whole = np.fromfile(path, dtype=np.uint8)
    size = 3 * manifest.image_size**2
    images = [whole[start : start + size] for start in rows["image"]["data_ptr"].astype(int)]
    return np.stack(images).reshape(-1, manifest.image_size, manifest.image_size, 3)


@pytest.mark.parametrize(
    ("kind", "largest", "white"),
    [
        (kind, largest, white)
        for kind in KINDS
        for largest, white in [(1, 1), (200, 255), (4000, 4095), (65535, 65535)]
        if largest > 1 or "bit" not in kind
    ],
)
def test_train_decides_on_one_scale_for_all(
    tmp_path: Path, kind: str, largest: float, white: int
) -> None:
    manifest = convert(tmp_path, dataset(tmp_path / "src", kind, largest, largest))
    assert manifest.value_range == {"white": white, "images": 12, "largest": largest, "clipped": 0}
    values = np.stack(
        [drawn(kind, largest if label == number == 0 else largest / 2, 10 * label + number)
         for label in range(2) for number in range(4)]
    ).astype(np.float64)  # fmt: skip
    values = np.repeat(values[..., None], 3, axis=3) if values.ndim == 3 else values
    pixels = stored(tmp_path / "data" / "folder", manifest).astype(np.float64)
    # The upper 8 bits of an integer are at most one level below the rounded value.
    assert np.abs(pixels - values * 255 / white).max() <= 1
    assert pixels.max() == pixels[0].max() >= 255 * largest / white - 1
    assert pixels[1:].max() <= 128


def test_twelve_bits_keep_their_upper_eight_and_a_full_range_stays_as_it_was() -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    image, peak = decode_image(encoded(values, ".png"), 64, 4095)
    assert peak == 4095
    assert np.array_equal(np.asarray(image)[..., 0], values >> 4)
    wide = (values * 16).astype(np.uint16)
    colours = np.dstack([wide, wide.T, wide[::-1]])
    for each in (wide, colours):
        old, new = (
            decode_image(encoded(each, ".png"), 64),
            decode_image(encoded(each, ".png"), 64, 65535),
        )
        assert np.array_equal(np.asarray(old[0]), np.asarray(new[0]))
        assert (old[1], new[1]) == (None, 65520)


def test_transparency_of_16_bits_is_laid_on_white() -> None:
    values = np.zeros((SIDE, SIDE, 4), dtype=np.uint16)
    values[..., 0], values[:8, :, 3] = 4095, 65535
    image, peak = decode_image(encoded(values, ".png"), SIDE, 4095)
    assert peak == 4095
    assert np.asarray(image)[0, 0].tolist() == [255, 0, 0]
    assert np.asarray(image)[15, 0].tolist() == [255, 255, 255]


def test_orientation_is_applied_to_16_bits_too(tmp_path: Path) -> None:
    values = np.zeros((SIDE, SIDE), dtype=np.uint16)
    values[:8] = 4095
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(values).save(tmp_path / "turned.png", exif=exif)
    image, _ = decode_image((tmp_path / "turned.png").read_bytes(), SIDE, 4095)
    assert np.asarray(image)[[0, 15], 0, 0].tolist() == [0, 255]


def test_test_images_beyond_the_range_are_clipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = dataset(tmp_path / "src", "16-bit gray PNG", 4000, 5000)
    manifest = convert(tmp_path, source)
    assert manifest.value_range == {"white": 4095, "images": 12, "largest": 4000, "clipped": 1}
    assert main(["folder", "--data", str(tmp_path / "data")]) == 0
    shown = capsys.readouterr().out
    assert (
        "16-bit and float images: 12, with values up to 4,000 in train, so 0 is stored as black "
        "and 4,095 as white in all of them\n"
        "clipped: values above 4,095 in 1 of the 16-bit and float test images\n"
    ) in shown


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    source = dataset(tmp_path / "src", "16-bit RGB TIFF", 1000, 1000)
    one = convert(tmp_path, source)
    two = convert(tmp_path, source, workers=2, overwrite=True)
    assert one == two
    assert one.value_range
    assert one.value_range["white"] == 1023


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (-3.0, "it has negative values, down to -3"),
        (float("nan"), "it has values that are not finite"),
        (float("inf"), "it has values that are not finite"),
        (70000.0, "it has values up to 70000, above 65535"),
    ],
)
def test_values_of_no_customary_range_make_an_image_broken(
    tmp_path: Path, value: float, reason: str
) -> None:
    source = dataset(tmp_path / "src", "float gray TIFF", 0.9, 0.9)
    values = drawn("float gray TIFF", 0.9)
    values[0, 0] = value
    (source / "train" / "a" / "1.tif").write_bytes(encoded(values, ".tif"))
    with pytest.raises(DatasetError, match=rf"1 image is broken.*\n  train/a/1\.tif: {reason}"):
        convert(tmp_path, source)
    manifest = convert(tmp_path, source, skip_broken=True)
    assert manifest.skipped == (("train/a/1.tif", reason),)
    assert manifest.value_range
    assert manifest.value_range["white"] == 1


def test_a_cut_colour_image_is_broken(tmp_path: Path) -> None:
    for kind in ("16-bit RGB PNG", "16-bit RGB TIFF", "float RGB TIFF"):
        suffix = KINDS[kind][2]
        whole = encoded(drawn(kind, 1), suffix)
        with pytest.raises((ValueError, OSError, SyntaxError)):
            decode_image(whole[: len(whole) * 2 // 3], SIDE, 65535)


@pytest.mark.parametrize("kind", ["16-bit RGB PNG", "16-bit RGB TIFF", "float RGB TIFF"])
def test_a_bomb_is_refused_by_its_header(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(drawn(kind, 1), KINDS[kind][2])
    monkeypatch.setattr(decode, "MAX_DEEP_PIXELS", SIDE * SIDE)
    assert decode_image(data, SIDE, 65535)[1] is not None
    monkeypatch.setattr(decode, "MAX_DEEP_PIXELS", SIDE * SIDE - 1)
    with pytest.raises(ValueError, match=rf"it has {SIDE} × {SIDE} pixels, and the limit is"):
        decode_image(data, SIDE, 65535)


def test_datasets_of_8_bits_say_nothing(tiny_data: Path) -> None:
    manifest = read_manifest(tiny_data)
    assert manifest.value_range is None
    assert remarks(manifest, tiny_data) == []
    assert open_search_data(tiny_data).images.white is None


def test_manifests_without_the_entry_keep_their_reading(tmp_path: Path) -> None:
    source = dataset(tmp_path / "src", "16-bit gray PNG", 4000, 4000)
    convert(tmp_path, source)
    directory = tmp_path / "data" / "folder"
    assert open_final_data(directory).images.white == 4095
    value = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    del value["value_range"], value["sha256"]
    (directory / "manifest.json").write_text(json.dumps(value), encoding="utf-8")
    assert open_final_data(directory).images.white is None
    out = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    assert decode_into((source / "train" / "a" / "0.png").read_bytes(), out, None) is None
    assert out.max() == 4000 >> 8


def test_a_manifest_with_an_uncustomary_white_is_damaged(tmp_path: Path) -> None:
    manifest = convert(tmp_path, dataset(tmp_path / "src", "16-bit gray PNG", 4000, 4000))
    assert manifest.value_range
    odd = {**manifest.value_range, "white": 4000}
    write_manifest(replace(manifest, value_range=odd), tmp_path / "data" / "folder")
    with pytest.raises(DatasetError, match=r"is damaged .*ends at no customary value"):
        read_manifest(tmp_path / "data" / "folder")


def test_white_is_the_smallest_customary_value_that_nothing_exceeds() -> None:
    whites = [find_white([peak]) for peak in (0, 1, 1.00001, 1.01, 255, 256, 4095, 4096, 65535)]
    assert whites == [1, 1, 1, 255, 255, 1023, 4095, 16383, 65535]
    assert find_white([3, 300, 20]) == 1023
    assert find_white([]) is None
    assert WHITES[-1] == 65535
    assert describe_range(None) == []


def test_where_only_test_has_such_images_floats_are_broken(tmp_path: Path) -> None:
    source = dataset(tmp_path / "src", "16-bit gray PNG", 4000, 4000)
    for path in (source / "train").rglob("*.png"):
        path.write_bytes(encoded((drawn("16-bit gray PNG", 4000, len(path.stem)) >> 4).astype(
            np.uint8) + int(path.stem), ".png"))  # fmt: skip
    manifest = convert(tmp_path, source)
    assert manifest.value_range is None
    (source / "test" / "a" / "1.png").write_bytes(encoded(drawn("float gray TIFF", 1), ".tif"))
    with pytest.raises(DatasetError, match=r"test/a/1\.png: pixels of mode F have no known range"):
        convert(tmp_path, source, overwrite=True)
