"""Chooses what computes a model's predictions: torch, or onnxruntime, which starts sooner."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.cli import quote_command
from common.files import file_sha256
from common.nvml import read_driver
from common.text import printable
from trainables.final_model.description import MODEL, Description, ModelError, read_description
from trainables.final_model.inference.onnx_classifier import BATCH_SIZE, OnnxClassifier

ONNX_FILE = Path("export", "model.onnx")
"""`trainables.export` writes the ONNX file here in the folder of final training."""


class Classifier(Protocol):
    """A classifier computes a model's logits for images that are as large as the dataset's.

    description: the model's classes and pixels.
    name: the back end, «torch» or «onnx».
    batch_size: how many images it takes at once by default.
    """

    description: Description
    name: str
    batch_size: int

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns float32 (B, classes) for uint8 (B, side, side, 3)."""


def open_classifier(path: Path, back_end: str, count: int) -> Classifier:
    """Opens a model by a back end. Raises `UserError` where that can't be.

    path: a folder of final training, or an exported .safetensors or .onnx file.
    back_end: auto, torch or onnx.
    count: how many images there are; a GPU is worth torch's start for more than a batch.
    """
    if path.suffix == ".onnx" and path.is_file():
        if back_end == "torch":
            raise ModelError(
                f"--backend torch goes with a folder or a .safetensors file, but {path} is ONNX; "
                "give the folder of final training, or leave --backend out."
            )
        return OnnxClassifier(path)
    if back_end == "onnx":
        return _open_exported(path)
    if back_end == "auto" and (exported := _open_if_better(path, count)):
        return exported
    from trainables.final_model.inference.classifier import TorchClassifier  # takes seconds

    return TorchClassifier(path)


def _open_exported(path: Path) -> OnnxClassifier:
    """Opens the ONNX file of a folder. Raises `ModelError` without one of the same weights."""
    export = quote_command("python -m trainables.export", path, "--formats", "onnx")
    if not path.is_dir() or not (path / ONNX_FILE).is_file():
        raise ModelError(
            f"--backend onnx goes with an exported .onnx file, but {path} has none; write it with "
            f"{export}."
        )
    exported = OnnxClassifier(path / ONNX_FILE)
    if not _is_export_of(exported.description, path):
        raise ModelError(
            f"{path / ONNX_FILE} must state that it holds the weights of {path / MODEL}, but was "
            f"exported from others or by an older version; export it again with {export}."
        )
    return exported


def _open_if_better(folder: Path, count: int) -> OnnxClassifier | None:
    """Opens the ONNX file of a folder where it gives the tested numbers, and sooner than torch.

    Prints a note where it can't be used. A model that was tested in half precision is left to
    torch, because ONNX computes in float32.
    """
    path = folder / ONNX_FILE
    if not path.is_file() or find_spec("onnxruntime") is None:
        return None
    if read_description(folder).trial_config().precision != "float32":
        return None
    if count > BATCH_SIZE and read_driver().cards:
        return None
    try:
        exported = OnnxClassifier(path)
    except ModelError as error:
        print(f"note: torch predicts, since {printable(str(error))}", file=sys.stderr)
        return None
    if _is_export_of(exported.description, folder):
        return exported
    where, stated = printable(str(path)), exported.description.weights_sha256
    why = "was exported from other weights" if stated else "doesn't state from which weights it is"
    print(f"note: torch predicts, since {where} {why}; export it again.", file=sys.stderr)
    return None


def _is_export_of(exported: Description, folder: Path) -> bool:
    """Returns whether an exported file has the classes, pixels and weights of a folder."""
    same = exported == read_description(folder)
    return same and exported.weights_sha256 == file_sha256(folder / MODEL)
