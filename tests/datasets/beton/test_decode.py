"""Decoding: every kind of image becomes RGB of one size; broken ones are named."""

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.archives.tree import open_tree
from datasets.beton import decode as decoding
from datasets.beton import decode_pool, jpeg
from datasets.beton.decode import decode_chunk, decode_image
from datasets.beton.decode_pool import open_decoder
from datasets.beton.jpeg import decode_jpeg
from datasets.sources.tiny_imagenet import list_samples
from datasets.spec import Sample

ROOT = Path(__file__).parents[3]


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corner(data: bytes, size: int = 32) -> list[int]:
    image, _ = decode_image(data, size)
    assert (image.mode, image.size) == ("RGB", (size, size))
    return np.asarray(image)[0, 0].tolist()


def test_modes_become_rgb() -> None:
    side = (32, 32)
    assert corner(encoded(Image.new("L", side, 90))) == [90, 90, 90]
    assert corner(encoded(Image.new("1", side, 1))) == [255, 255, 255]
    assert corner(encoded(Image.new("RGBA", side, (200, 0, 0, 0)))) == [255, 255, 255]
    assert corner(encoded(Image.new("RGBA", side, (200, 10, 0, 255)))) == [200, 10, 0]
    assert corner(encoded(Image.new("LA", side, (7, 255)))) == [7, 7, 7]
    palette = Image.new("RGB", side, (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert corner(encoded(palette)) == [10, 20, 30]
    sixteen = Image.fromarray(np.full(side, 0x8040, dtype=np.uint16))
    assert corner(encoded(sixteen)) == [128, 128, 128]
    cmyk = corner(encoded(Image.new("CMYK", side, (0, 255, 255, 0)), "JPEG", quality=100))
    assert np.abs(np.array(cmyk) - [255, 0, 0]).max() <= 3
    with pytest.raises(ValueError, match="mode F have no known range"):
        decode_image(encoded(Image.new("F", side, 0.5), "TIFF"), 32)


def test_same_size_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(decode_image(encoded(Image.fromarray(pixels)), 32)[0]), pixels)


def test_other_sizes_fit_the_short_side_and_keep_the_middle() -> None:
    # 30 red, 60 green, 30 blue columns: the middle 60×60 square is green.
    pixels = np.zeros((60, 120, 3), dtype=np.uint8)
    pixels[:, :30, 0] = pixels[:, 30:90, 1] = pixels[:, 90:, 2] = 200
    for size in (16, 60, 100):
        middle = np.asarray(decode_image(encoded(Image.fromarray(pixels)), size)[0])
        assert middle.shape == (size, size, 3)
        # The filter looks a little over the edge of the cut.
        assert np.abs(middle[:, 4:-4].astype(int) - [0, 200, 0]).max() <= 1
        assert np.abs(middle.astype(int) - [0, 200, 0]).max() <= 60


def test_shrinking_is_antialiased() -> None:
    fine = np.indices((128, 128)).sum(axis=0) % 2 * 255
    small = np.asarray(decode_image(encoded(Image.fromarray(fine.astype(np.uint8))), 32)[0])
    assert abs(small.mean() - 127.5) < 2
    assert small.std() < 10  # picking single pixels would leave it at 127


def test_exif_orientation_is_applied() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    data = encoded(Image.fromarray(pixels), "JPEG", quality=95, exif=exif)
    turned = np.asarray(decode_image(data, 32)[0]).astype(int)
    assert turned[:12].mean() < 10
    assert turned[20:].mean() > 245


def test_chunk_names_broken_images_and_sums_exactly(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    good = [random.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(2)]
    whole = encoded(Image.fromarray(good[0]), "JPEG")
    contents = {
        "0.png": encoded(Image.fromarray(good[0])),
        "cut.jpg": whole[: len(whole) // 2],
        "empty.jpg": b"",
        "text.jpg": b"hello, I am no image",
        "4.png": encoded(Image.fromarray(good[1])),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    samples = [Sample(path=name, label=n) for n, name in enumerate([*contents, "gone.png"])]
    pixels = np.empty((len(samples), 16, 16, 3), dtype=np.uint8)
    chunk = decode_chunk(open_tree(tmp_path), samples, pixels)
    assert np.array_equal(chunk.pixels, np.stack(good))
    assert chunk.labels.tolist() == [0, 4]
    assert [b.path for b in chunk.broken] == ["cut.jpg", "empty.jpg", "text.jpg", "gone.png"]
    assert all(broken.reason for broken in chunk.broken)
    whole_numbers = np.stack(good).astype(np.int64).reshape(2, -1, 3)
    assert np.array_equal(chunk.moments[..., 0], whole_numbers.sum(axis=1))
    assert np.array_equal(chunk.moments[..., 1], (whole_numbers**2).sum(axis=1))


def test_pool_gives_the_same_chunks_in_the_same_order(
    tiny_zip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CHUNK_BYTES", 7 * 3 * 64 * 64)
    monkeypatch.setattr(decode_pool, "CHUNKS_AHEAD", 2)  # each slot is used three times
    tree = open_tree(tiny_zip)
    samples = list_samples(tree).train
    found = {}
    for workers in (1, 2):
        with open_decoder(tree, 64, workers) as decode:
            found[workers] = [replace(c, pixels=c.pixels.copy()) for c in decode(samples, None)]
    assert [len(chunk.labels) for chunk in found[2]] == [7] * 11 + [3]
    for one, two in zip(found[1], found[2], strict=True):
        assert np.array_equal(one.pixels, two.pixels)
        assert np.array_equal(one.labels, two.labels)


def photograph(width: int = 45, height: int = 45) -> Image.Image:
    """Smooth colours with some noise, of odd sides: edges of blocks count."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([4 * x, 4 * y, 2 * (x + y)], axis=2)
    pixels = pixels + np.random.default_rng(5).normal(0, 20, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("quality", [30, 90])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_fast_jpegs_are_pillows_to_the_last_bit(quality: int, options: dict[str, object]) -> None:
    photo = photograph()
    images = [(photo, {"subsampling": n}) for n in (0, 1, 2)] + [(photo.convert("L"), {})]
    for image, more in images:
        data = encoded(image, "JPEG", quality=quality, **options, **more)
        out = np.zeros((45, 45, 3), dtype=np.uint8)
        assert decode_jpeg(data, out)
        assert np.array_equal(out, np.asarray(decode_image(data, 45)[0]))


def test_what_pillow_has_to_judge_is_left_to_it() -> None:
    photo = photograph()
    exif = Image.Exif()
    exif[0x0112] = 3
    whole = encoded(photo, "JPEG")
    left = {
        "cut": whole[: len(whole) // 2],
        "without its end": whole[:-2],
        "damaged": whole[:-200] + bytes(200),
        "empty": b"",
        "png": encoded(photo),
        "turned": encoded(photo, "JPEG", exif=exif),
        "cmyk": encoded(photo.convert("CMYK"), "JPEG"),
        "other size": encoded(photograph(46, 45), "JPEG"),
    }
    out = np.zeros((45, 45, 3), dtype=np.uint8)
    assert [what for what, data in left.items() if decode_jpeg(data, out)] == []


def test_without_the_library_pillow_decodes_the_same(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = list_samples(open_tree(tiny_folder)).train[::9]
    fast, slow = (np.zeros((len(samples), 64, 64, 3), dtype=np.uint8) for _ in range(2))
    decode_chunk(open_tree(tiny_folder), samples, fast)
    monkeypatch.setattr(jpeg, "LIBRARY", "libnowhere.so.0")
    monkeypatch.setattr(jpeg, "_of_thread", jpeg._OfThread())
    assert not decode_jpeg(tiny_folder.joinpath(samples[0].path).read_bytes(), slow[0])
    decode_chunk(open_tree(tiny_folder), samples, slow)
    assert np.array_equal(fast, slow)


ORPHANS = """
import multiprocessing, os, signal, sys
from pathlib import Path
from datasets.beton.decode_pool import open_decoder
from datasets.sources.tiny_imagenet import list_samples
from datasets.archives.tree import open_tree
tree = open_tree(Path(sys.argv[1]))
with open_decoder(tree, 64, 2) as decode:
    next(decode(list_samples(tree).train, None))
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_conversion_leaves_no_process(tiny_zip: Path) -> None:
    command = [sys.executable, "-c", ORPHANS, str(tiny_zip)]
    # Files rather than pipes: an orphan would keep a pipe open and this test waiting.
    done = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8")
    assert done.stdout is not None
    pids = [int(pid) for pid in done.stdout.readline().split()]
    assert done.wait(30) == -signal.SIGKILL
    assert pids
    until = time.monotonic() + 10
    while any(_alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in pids if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A zombie answers too, where nothing reaps orphans.
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (ProcessLookupError, FileNotFoundError):
        return False
