"""Knows the image formats that are read, by the names and by the first bytes of files."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""A file whose name ends like this, in any case, is taken for an image without a look inside."""
PILLOW_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow may open these formats and no others, because some, such as EPS, run another program."""
HEAD_BYTES = 18
"""So many bytes at the beginning of a file suffice for `is_image_head`."""

_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_BMP_HEADER_BYTES = (12, 40, 52, 56, 64, 108, 124)
"""A BMP file states one of these sizes of its second header. «BM» alone may begin any text."""


def has_image_suffix(path: str) -> bool:
    """Returns whether the file name ends like an image's, in any case."""
    return path.lower().endswith(SUFFIXES)


def is_image_head(head: bytes) -> bool:
    """Returns whether a file that begins with these `HEAD_BYTES` bytes is an image.

    PPM isn't recognised: only this project's own readers make such images.
    """
    if head.startswith(b"BM"):
        return int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    return head.startswith(_STARTS)
