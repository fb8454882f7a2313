"""The made-up dataset: the same bytes every time, in the official layout, not trivial."""

from pathlib import Path

import numpy as np
import pytest

from datasets.archives.tree import open_tree
from datasets.prepare import prepare
from datasets.sources import demo


def content(root: Path) -> dict[str, bytes]:
    tree = open_tree(root)
    return {path: tree.read(path) for path in tree.files()}


@pytest.mark.usefixtures("small_demo")
def test_same_bytes_every_time_and_all_images_differ(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        demo.generate(tmp_path / name)
    first = content(tmp_path / "one")
    assert first == content(tmp_path / "two")
    images = [data for path, data in first.items() if path.endswith(".JPEG")]
    assert len(set(images)) == len(images) == 20 * 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.usefixtures("small_demo")
def test_prepares_through_the_official_layout_once(tmp_path: Path) -> None:
    manifest = prepare("demo", data=tmp_path, workers=1)
    assert manifest.train_per_class == (3,) * 20
    assert manifest.test_per_class == (2,) * 20
    assert manifest.class_names[:5] == (
        "plain disc", "striped disc", "dotted disc", "checked disc", "plain square",
    )  # fmt: skip
    before = content(tmp_path / "demo" / "source")
    again = prepare("demo", data=tmp_path, workers=1, overwrite=True)
    assert again.fingerprint == manifest.fingerprint
    assert content(tmp_path / "demo" / "source") == before


def test_colour_and_brightness_say_nothing_about_the_class() -> None:
    """A nearest-mean classifier on coarse colours stays near the 5 % of guessing."""
    images = np.stack(
        [
            [
                np.asarray(demo.draw_image(label, number).resize((4, 4))).ravel()
                for number in range(12)
            ]
            for label in range(20)
        ]
    ).astype(float)
    means = images[:, :8].mean(axis=1)
    distances = ((images[:, 8:, None] - means) ** 2).sum(axis=-1)
    right = distances.argmin(axis=-1) == np.arange(20)[:, None]
    assert right.mean() < 0.2
