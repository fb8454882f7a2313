"""Formats: an image is known by its first bytes, and no other program is started to read one."""

from io import BytesIO

import pytest
from PIL import Image

from datasets.beton.decode import decode_image
from datasets.census.image_formats import HEAD_BYTES, PILLOW_FORMATS, is_image_head

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize("name", [each for each in PILLOW_FORMATS if each != "PPM"])
def test_what_pillow_writes_is_recognised_and_decoded(name: str) -> None:
    file = BytesIO()
    Image.new("RGB", (9, 7), "red").save(file, name)
    assert is_image_head(file.getvalue()[:HEAD_BYTES])
    assert decode_image(file.getvalue(), 16)[0].size == (16, 16)


@pytest.mark.parametrize(
    "head", [b"", b"BM", b"BMW cars, a list", b"RIFF0000WAVE", EPS, b"\xff\xd8"]
)
def test_other_files_are_not(head: bytes) -> None:
    assert not is_image_head(head[:HEAD_BYTES])


def test_postscript_is_refused_whatever_its_name() -> None:
    with pytest.raises(ValueError, match="no image in one of the formats BMP, GIF, JPEG"):
        decode_image(EPS, 16)
