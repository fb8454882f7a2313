"""Headers: what an image may claim before anything of it is decoded."""

import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.beton.decode import decode_image, decode_into
from datasets.census.image_opening import (
    DECODING_BYTES,
    MAX_DEEP_PIXELS,
    MAX_JPEG_PIXELS,
    MAX_PIXELS,
    check_tiff,
    open_image,
)

ROOT = Path(__file__).parents[3]


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG of 8-bit gray that claims any size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        whole = name + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(*entries: tuple[int, int, int, int], start: int = 8, number: int | None = None) -> bytes:
    """A TIFF's first directory, of entries (tag, type, count, value), and nothing else."""
    packed = [struct.pack("<HHII", *entry) for entry in entries]
    count = len(packed) if number is None else number
    return b"II*\0" + struct.pack("<IH", start, count) + b"".join(packed) + b"\0\0\0\0"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("side", [6_325, 10_000, 14_000, 40_000, 2**31 - 1])
def test_a_claim_above_the_limit_is_refused_without_a_warning(side: int) -> None:
    """Pillow itself only warns from 9,460 px on, and refuses from 13,378 px on."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"pixels, and the limit is 40,000,000 for its format"):
            open_image(png(side, side))


def test_odd_metadata_prints_nothing() -> None:
    data = bytearray(encoded(Image.new("RGB", (9, 9), "red"), "TIFF", dpi=(72, 72)))
    at = data.index(struct.pack("<HHI", 296, 3, 1))  # the unit of the resolution
    data[at : at + 8] = struct.pack("<HHI", 296, 3, 2)
    with pytest.warns(UserWarning, match="tag 296 had too many entries"):
        Image.open(io.BytesIO(bytes(data))).load()
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        decode_into(bytes(data), np.empty((9, 9, 3), np.uint8))
        open_image(bytes(data))
    assert raised == []


def test_a_jpeg_may_be_larger_where_it_is_scaled_down() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wide = encoded(Image.new("L", (12_000, 9_900)), "JPEG")
        assert decode_image(wide, 64)[0].size == (64, 64)
        narrow = encoded(Image.new("L", (65_500, 700)), "JPEG")
        with pytest.raises(ValueError, match=r"65,500 × 700 pixels, and the limit is 40,000,000"):
            decode_image(narrow, 600)  # nothing to scale down
        more = encoded(Image.new("L", (12_000, 10_001)), "JPEG")
        with pytest.raises(ValueError, match=r"12,000 × 10,001 .* limit is 120,000,000 for its"):
            open_image(more)


def test_formats_that_run_or_fetch_something_are_none() -> None:
    for start in (b"%!PS-Adobe-3.0 EPSF-3.0\n", b"8BPS\0\1", b"\xd7\xcd\xc6\x9a", b"%PDF-1.4\n",
                  b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\x4f\xff\x51"):  # fmt: skip
        with pytest.raises(ValueError, match="no image in one of the formats"):
            decode_image(start + bytes(500), 16)


SIZE = [(256, 3, 1, 64), (257, 3, 1, 64)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiff((256, 4, 1, 100_000), (257, 4, 1, 100_000)), "it has 100,000 × 100,000 pixels"),
        (tiff(*SIZE, (322, 4, 1, 60_000), (323, 4, 1, 60_000)), "it has 60,000 × 60,000 pixels"),
        (tiff(*SIZE, (324, 4, 2**31, 8)), "2,147,483,648 strips or tiles"),
        (tiff(*SIZE, (273, 4, 300_000, 8)), "300,000 strips or tiles"),
        (tiff(*SIZE, (256, 4, 1, 10**9)), "it has 1,000,000,000 × 64 pixels"),  # twice
        (tiff((256, 3, 2, 64), (257, 3, 1, 64)), "states no size"),
        (tiff(*SIZE, number=60_000), "directory is cut short"),
        (tiff(*SIZE, start=2**31), "directory is cut short"),
    ],
)
def test_a_tiff_is_refused_by_its_directory(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_image(data)


def test_usual_tiffs_pass() -> None:
    image = Image.fromarray(np.arange(48 * 40 * 3, dtype=np.uint8).reshape(48, 40, 3))
    for options in ({}, {"compression": "tiff_deflate"}, {"big_tiff": True}):
        data = encoded(image, "TIFF", **options)
        assert np.array_equal(np.asarray(open_image(data)), np.asarray(image))
        check_tiff(data, 48 * 40)
        with pytest.raises(ValueError, match="it has 40 × 48 pixels, and the limit is 1,919"):
            check_tiff(data, 48 * 40 - 1)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_only_the_first_of_many_frames_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Image.new("RGB", (16, 16), (number % 256, 9, 9)) for number in range(400)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    sought: list[int] = []
    for plugin in (Image.Image, type(open_image(data))):
        monkeypatch.setattr(plugin, "seek", lambda _, frame: sought.append(frame))
    image, _ = decode_image(data, 16)
    assert (image.getpixel((0, 0)), sought) == ((0, 9, 9), [])


DECODE = """
import re, sys
import numpy as np
from PIL import Image
from datasets.beton.decode import decode_into

def peak():  # unlike getrusage's, it doesn't include what the parent had
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])

Image.preinit()
out = np.empty((64, 64, 3), np.uint8)
before = peak()
data = open(sys.argv[1], "rb").read()
decode_into(data, out, int(sys.argv[2]) or None)
print((peak() - before) * 1024)
"""


def draw(most: int) -> Image.Image:
    side = int(most**0.5)
    return Image.new("RGBA", (side, side), (9, 99, 200, 100))


def deep(dtype: type, channels: int, suffix: str) -> Callable[[], bytes]:
    def make() -> bytes:
        import cv2

        side = int(MAX_DEEP_PIXELS**0.5)
        return bytes(cv2.imencode(suffix, np.full((side, side, channels), 1, dtype))[1])

    return make


LARGEST: dict[str, tuple[Callable[[], bytes], int]] = {
    "PNG": (lambda: encoded(draw(MAX_PIXELS), "PNG", compress_level=1), 0),
    "TIFF": (lambda: encoded(draw(MAX_PIXELS), "TIFF", compression="tiff_deflate"), 0),
    "WebP": (lambda: encoded(draw(MAX_PIXELS), "WEBP", lossless=True, method=0, quality=0), 0),
    "GIF": (lambda: encoded(draw(MAX_PIXELS).convert("P"), "GIF", transparency=0), 0),
    "JPEG": (lambda: encoded(draw(MAX_JPEG_PIXELS).convert("CMYK"), "JPEG", progressive=True,
                             subsampling=0), 0),
    "PNG of 16 bits": (deep(np.uint16, 4, ".png"), 1),
    "TIFF of floats": (deep(np.float32, 3, ".tif"), 1),
}  # fmt: skip
"""Format -> makes the largest image that is accepted, and the white that it is read with."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGEST)
def test_the_largest_image_takes_as_much_memory_as_is_stated(kind: str, tmp_path: Path) -> None:
    make, white = LARGEST[kind]
    (tmp_path / "bomb").write_bytes(make())
    command = [sys.executable, "-c", DECODE, str(tmp_path / "bomb"), str(white)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    print(f"{kind}: {int(done.stdout) / 2**20:,.0f} MiB")
    assert int(done.stdout) <= DECODING_BYTES
