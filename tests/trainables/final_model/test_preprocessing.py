"""The metadata of an exported file suffice to rebuild a network's input from an image file."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn.functional import interpolate

from tests.trainables.conftest import SMALL
from trainables.augmentation.batch import for_evaluation
from trainables.final_model.description import Description
from trainables.final_model.inference.image_batches import read_image


def described(white: int | None = None, **changes: Any) -> Description:
    """Returns a description of a model of four classes and images of 48 px."""
    return Description(
        config=SMALL.but(**changes).to_dict(),
        class_ids=tuple("abcd"),
        class_names=tuple("abcd"),
        stored_px=48,
        mean=(0.48, 0.45, 0.4),
        std=(0.25, 0.24, 0.22),
        test_top1=0.5,
        fingerprint="f",
        terms="none",
        white=white,
    )


def rebuild_images(data: bytes, steps: list[dict[str, Any]]) -> np.ndarray:
    """Follows `to_images` by Pillow and numpy, without the project's code."""
    by_name = {step["step"]: step for step in steps}
    assert list(by_name) == [
        "decode", "orient", "reduce_depth", "lay_on_background", "convert", "crop", "resize",
    ]  # fmt: skip
    image = Image.open(io.BytesIO(data), formats=by_name["decode"]["formats"])
    image.seek(by_name["decode"]["frame"])
    scale = by_name["decode"]["jpeg_scale"]
    divisor = next(
        (d for d in scale["divisors"]
         if all(a >= d * b for a, b in zip(image.size, scale["sides_at_least"], strict=True))),
        1,
    )  # fmt: skip
    if image.format == "JPEG":
        image.draft(None, (image.width // divisor, image.height // divisor))
    image = ImageOps.exif_transpose(image)
    depth = by_name["reduce_depth"]
    if image.mode.startswith(("I", "F")):
        values = np.minimum(np.asarray(image), depth["white"])
        rule = depth["floats" if image.mode == "F" else "integers"]
        if "shift_right" in rule:
            values = values >> rule["shift_right"]
        else:
            values = np.rint(values * rule["multiply"])
        image = Image.fromarray(values.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*by_name["lay_on_background"]["colour"], 255))
        image = Image.alpha_composite(ground, image)
    image = image.convert(by_name["convert"]["to"])
    side = min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    size = tuple(by_name["resize"]["size"])
    if image.size != size:
        assert by_name["resize"]["interpolation"] == "bicubic"
        box = (left, top, left + side, top + side)
        image = image.resize(size, Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def rebuild_input(images: np.ndarray, steps: list[dict[str, Any]]) -> torch.Tensor:
    """Follows `to_network` by torch alone."""
    batch = torch.from_numpy(images).double()
    for step in steps:
        if step["step"] == "scale":
            batch = batch / step["divisor"]
        elif step["step"] == "normalise":
            batch = (batch - torch.tensor(step["subtract"])) / torch.tensor(step["divide"])
        elif step["step"] == "transpose":
            batch = batch.permute(0, 3, 1, 2)
        else:
            batch = interpolate(
                batch, size=step["size"], mode=step["interpolation"],
                antialias=step["antialias"], align_corners=step["align_corners"],
            )  # fmt: skip
    return batch


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Returns an image as the content of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(width: int, height: int) -> Image.Image:
    """Returns noise on a gradient, so that each pixel and each interpolation counts."""
    draw = np.random.default_rng([width, height])
    ramp = np.linspace(0, 180, width)[None, :, None] + draw.integers(0, 75, (height, width, 3))
    return Image.fromarray(ramp.astype(np.uint8))


def make_files() -> dict[str, bytes]:
    """Returns an image of each mode, and of several sizes."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    alpha = photo(31, 47).convert("RGBA")
    alpha.putalpha(photo(31, 47).convert("L"))
    gray16 = (np.asarray(photo(40, 30).convert("L")).astype(np.uint16) * 19) % 4096
    return {
        "same size": encode(photo(48, 48), "PNG"),
        "wide": encode(photo(77, 30), "PNG"),
        "jpeg": encode(photo(48, 48), "JPEG", quality=90),
        "large jpeg": encode(photo(901, 593), "JPEG", quality=90),
        "RGBA": encode(alpha, "PNG"),
        "gray": encode(photo(50, 48).convert("L"), "PNG"),
        "gray and alpha": encode(alpha.convert("LA"), "PNG"),
        "palette": encode(photo(50, 40).quantize(16), "PNG"),
        "one bit": encode(photo(50, 40).convert("1"), "PNG"),
        "CMYK": encode(photo(48, 40).convert("CMYK"), "JPEG"),
        "EXIF": encode(photo(60, 40), "JPEG", exif=exif),
        "animated": encode(
            photo(40, 40), "GIF", save_all=True, append_images=[Image.new("RGB", (40, 40), "red")]
        ),
        "16 bit": encode(Image.fromarray(gray16), "PNG"),
        "float": encode(
            Image.fromarray(np.asarray(photo(40, 30).convert("L"), dtype=np.float32) * 16), "TIFF"
        ),
    }


@pytest.mark.parametrize("white", [None, 4095])
@pytest.mark.parametrize("image_size", [32, 48, 64])
def test_the_metadata_alone_rebuild_every_kind_of_image(
    white: int | None, image_size: int, tmp_path: Path
) -> None:
    description = described(white, image_size=image_size)
    told = json.loads(description.to_json())["preprocessing"]
    assert told["version"] == 1
    pixels = []
    for name, data in make_files().items():
        if name == "float" and white is None:
            assert told["to_images"][2]["floats"] == "refused"
            continue
        (tmp_path / name).write_bytes(data)
        read = read_image(tmp_path / name, 48, white)
        assert np.array_equal(rebuild_images(data, told["to_images"]), read), name
        pixels.append(read)
    images = np.stack(pixels)
    assert (told["images"]["layout"], told["images"]["dtype"]) == ("NHWC", str(images.dtype))
    assert told["images"]["shape"][1:] == list(images.shape[1:])
    config = description.trial_config()
    wanted = for_evaluation(torch.from_numpy(images), config, description.images())
    found = rebuild_input(images, told["to_network"])
    assert (found - wanted).abs().max() < 2e-5
    assert told["network"]["shape"][1:] == list(wanted.shape[1:])
    assert f"torch.{told['network']['dtype']}" == str(wanted.dtype)


def test_modes_have_the_pixels_that_the_guide_promises(tmp_path: Path) -> None:
    """Flat images, whose colours are known without any code."""
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = Image.new("RGB", (48, 48), "black")
    turned.paste("white", (0, 0, 48, 24))
    frames = [Image.new("RGB", (48, 48), colour) for colour in ("lime", "red")]
    cases: dict[str, tuple[bytes, tuple[int, int, int]]] = {
        "clear": (encode(Image.new("RGBA", (48, 48), (9, 9, 9, 0)), "PNG"), (255, 255, 255)),
        "half": (encode(Image.new("RGBA", (48, 48), (0, 0, 0, 51)), "PNG"), (204, 204, 204)),
        "gray": (encode(Image.new("L", (48, 48), 77), "PNG"), (77, 77, 77)),
        "16": (
            encode(Image.fromarray(np.full((48, 48), 77 * 256 + 200, np.uint16)), "PNG"),
            (77, 77, 77),
        ),
        "cmyk": (encode(Image.new("CMYK", (48, 48), (255, 255, 0, 0)), "TIFF"), (0, 0, 255)),
        "first frame": (
            encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
            (0, 255, 0),
        ),
        "turned": (encode(turned, "PNG", exif=exif), (0, 0, 0)),
    }
    for name, (data, colour) in cases.items():
        (tmp_path / name).write_bytes(data)
        assert tuple(read_image(tmp_path / name, 48, None)[2, 5].tolist()) == colour, name


def test_files_without_the_steps_are_read_as_before() -> None:
    values = json.loads(described().to_json())
    del values["preprocessing"], values["weights_sha256"]
    assert Description.from_json(json.dumps(values)) == described()
