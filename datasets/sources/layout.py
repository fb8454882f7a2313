"""What the readers of layouts share: where the data begins in a tree, and what an image is."""

from datasets.spec import DatasetError, Tree

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_top(tree: Tree) -> str:
    """The path before `train/`, ending in `/` or empty: archives often hold one outer folder.

    The one nearest to the root is meant. Raises `DatasetError` without any `train/`.
    """
    tops = set()
    for path in tree.files():
        folders = path.split("/")[:-1]
        if "train" in folders:
            tops.add(tuple(folders[: folders.index("train")]))
    if not tops:
        raise DatasetError(
            f"{tree.root} must hold a folder train/ with one folder a class, but it has none; "
            f"{_next(tree)}."
        )
    top = min(tops, key=lambda parts: (len(parts), parts))
    return "".join(f"{part}/" for part in top)


def _next(tree: Tree) -> str:
    """What to do about a tree without train/."""
    if images_by_class(tree, ""):
        return "to make train/ and test/ of folders of images, see docs/guides/tutorial.md"
    return "pass the archive or the folder that train/ lies in"


def images_by_class(tree: Tree, folder: str) -> dict[str, list[str]]:
    """The images below each class folder of `folder` (which ends in `/`), at any depth.

    Classes and paths are in sorted order; a class folder without images isn't listed.
    """
    found: dict[str, list[str]] = {}
    for path in tree.files():
        inside = path.removeprefix(folder)
        if path.startswith(folder) and "/" in inside and is_image(path):
            found.setdefault(inside.split("/")[0], []).append(path)
    return {name: found[name] for name in sorted(found)}


def is_image(path: str) -> bool:
    """Whether the file name ends like an image's, in any case."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def shortened(names: list[str], shown: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
