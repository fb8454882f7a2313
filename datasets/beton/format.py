"""Describes FFCV's file format, version 2, for samples of one raw image and one label.

The source is `ffcv/types.py` of ffcv 1.0.2; a test compares this project's files with FFCV's, byte
by byte. The format is written out here because importing FFCV imports torch, which costs half a
gigabyte of memory and seconds of time that converting images has no use for.

A file has these parts:

    header | field descriptors | one metadata row per sample | padding to a page
    pages of images; no image crosses a page
    allocation table: one row per sample
"""

import numpy as np

VERSION = 2
"""This is the version of the file format, as the header states it."""
PAGE_BYTES = 1 << 21
"""This is the smallest page that FFCV accepts, in bytes.

An image must fit into one page, so its side is at most 836 px.
"""

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
"""A file begins with this record."""
FIELD = np.dtype([("type_id", "<u1"), ("name", "<u1", 16), ("arguments", "<u1", 1024)], align=True)
"""This record describes one field of a sample: its type, its name and its arguments."""
IMAGE = np.dtype([("mode", "<u1"), ("width", "<u2"), ("height", "<u2"), ("data_ptr", "<u8")])
"""This record describes one image: encoding, width and height in pixels, and position in the
file.
"""
METADATA = np.dtype([("image", IMAGE), ("label", "<i8")], align=True)
"""This record describes one sample: its image and its label."""
ALLOCATION = np.dtype([("sample_id", "<u8"), ("ptr", "<u8"), ("size", "<u8")])
"""This record gives position and size, in bytes, of one sample's image in the file."""

INT_FIELD, IMAGE_FIELD = 1, 2
"""FFCV's codes for the types of fields: `INT_FIELD` is a label, `IMAGE_FIELD` is an image."""
RAW = 1
"""This code in an image's record says that its pixels are stored uncompressed."""
METADATA_START = HEADER.itemsize + 2 * FIELD.itemsize
"""The metadata rows begin at this position in the file, in bytes."""


def field_descriptors() -> bytes:
    """Returns the descriptors of the two fields `image` and `label`, in this order.

    Neither field has arguments.
    """
    fields = np.zeros(2, dtype=FIELD)
    for field, (name, type_id) in zip(
        fields, (("image", IMAGE_FIELD), ("label", INT_FIELD)), strict=True
    ):
        field["type_id"] = type_id
        field["name"][: len(name)] = np.frombuffer(name.encode(), dtype="<u1")
    return fields.tobytes()


def pages_start(count: int) -> int:
    """Returns the position, in bytes, of the first page in a file with room for `count` samples."""
    return -(-(METADATA_START + count * METADATA.itemsize) // PAGE_BYTES) * PAGE_BYTES
