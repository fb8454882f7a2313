"""FFCV's file format, version 2, for one raw image and one label a sample.

As in `ffcv/types.py` of ffcv 1.0.2; a test compares our files to that writer's, byte by byte.
Written out here because importing FFCV brings torch: half a gigabyte of memory and seconds of
time that converting images has no use for.

    header | field descriptors | a metadata row a sample | padding to a page
    pages of images, none of which crosses a page
    allocation table: a row a sample
"""

import numpy as np

VERSION = 2
PAGE_BYTES = 1 << 21
"""The smallest page FFCV takes; an image must fit into one: at most 836 px."""

HEADER = np.dtype(
    [
        ("version", "<u2"),
        ("num_fields", "<u2"),
        ("page_size", "<u4"),
        ("num_samples", "<u8"),
        ("alloc_table_ptr", "<u8"),
    ],
    align=True,
)
FIELD = np.dtype([("type_id", "<u1"), ("name", "<u1", 16), ("arguments", "<u1", 1024)], align=True)
IMAGE = np.dtype([("mode", "<u1"), ("width", "<u2"), ("height", "<u2"), ("data_ptr", "<u8")])
METADATA = np.dtype([("image", IMAGE), ("label", "<i8")], align=True)
ALLOCATION = np.dtype([("sample_id", "<u8"), ("ptr", "<u8"), ("size", "<u8")])

INT_FIELD, IMAGE_FIELD = 1, 2
RAW = 1
METADATA_START = HEADER.itemsize + 2 * FIELD.itemsize


def field_descriptors() -> bytes:
    """The two fields `image` and `label`, in this order; neither has arguments."""
    fields = np.zeros(2, dtype=FIELD)
    for field, (name, type_id) in zip(
        fields, (("image", IMAGE_FIELD), ("label", INT_FIELD)), strict=True
    ):
        field["type_id"] = type_id
        field["name"][: len(name)] = np.frombuffer(name.encode(), dtype="<u1")
    return fields.tobytes()


def pages_start(count: int) -> int:
    """Where the pages begin in a file with room for `count` samples' metadata."""
    return -(-(METADATA_START + count * METADATA.itemsize) // PAGE_BYTES) * PAGE_BYTES
