"""Exports a final model as safetensors, as a `torch.export` program and as ONNX.

Each file contains its `Description` as JSON under the name `model`. The two programs take decoded
images, uint8 (B, side, side, 3) in RGB with `stored_px` a side, and return logits: shift, scale and
resizing are part of the program. They compute in float32, whatever precision was tested.
"""

import importlib
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from common.errors import UserError
from common.files import file_sha256
from datasets.splits import Images
from results.predictions import read_predictions
from trainables.augmentation.batch import for_evaluation
from trainables.config import TrialConfig
from trainables.final_model.description import KEY, MODEL, Description
from trainables.final_model.saved_model import SavedModel, read_model
from trainables.models.network import Network

TOLERANCE = 1e-4
"""Exported logits may differ from the original's by this share of the largest one.

The difference in ONNX was 6e-6 for a trained EfficientNet-Lite0 at 192 px over 79 images, with
torch 2.14.1 and onnxruntime 1.32.0 on Zen 4.
"""

_CPU = torch.device("cpu")
"""Models are exported and tried on this device."""


class ExportError(UserError):
    """This error says that a model can't be exported; its message says why and what to do."""


class Program(nn.Module):
    """A `Program` maps stored pixels to logits, as evaluation computes them, in float32."""

    def __init__(self, network: Network, config: TrialConfig, images: Images) -> None:
        super().__init__()
        self.network = network
        self._config, self._images = config, images

    def forward(self, images: Tensor) -> Tensor:
        """Returns float32 (B, classes) for uint8 (B, side, side, 3)."""
        logits: Tensor = self.network(for_evaluation(images, self._config, self._images))
        return logits


def export(final: Path, to: Path | None, formats: Sequence[str]) -> list[tuple[Path, float]]:
    """Writes the files and returns, for each, its path and the difference of its logits.

    Each is read back and tried on the real images whose pixels final training has stored. All
    are there at the end, or none is and what was there before stays. Raises `UserError` and
    `OSError`.
    """
    if not final.is_dir():
        raise ExportError(f"FINAL must be a folder, as runs/NAME/final, but {final} is none.")
    _check_packages(formats)
    model, pixels = _read_with_checksum(final), torch.from_numpy(read_predictions(final).pixels)
    program = _program(model)
    with torch.inference_mode():
        expected = program(pixels)
    folder = to or final / "export"
    staging = folder / f".{os.getpid()}.tmp"
    staging.mkdir(parents=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters' use of torch causes warnings
            results = [
                _export_one(name, program, model, pixels, expected, staging) for name in formats
            ]
        for path, _ in results:
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    return [(folder / path.name, difference) for path, difference in results]


def _read_with_checksum(final: Path) -> SavedModel:
    """Reads the model, and has its description name the file of weights that is exported."""
    model, checksum = read_model(final), file_sha256(final / MODEL)
    return replace(model, description=replace(model.description, weights_sha256=checksum))


def _program(model: SavedModel) -> Program:
    """Returns a model as a `Program` in evaluation mode on the CPU, without gradients."""
    description = model.description
    network = model.network(_CPU).requires_grad_(False)
    return Program(network, description.trial_config(), description.images()).eval()


def _export_one(
    name: str, program: Program, model: SavedModel, pixels: Tensor, expected: Tensor, folder: Path
) -> tuple[Path, float]:
    """Writes one file, tries it on a whole batch and on one image, and returns path and difference.

    Raises `ExportError` if the logits differ by more than `TOLERANCE`.

    pixels: uint8 (B, side, side, 3).
    expected: the original's logits for these pixels.
    """
    path = folder / f"model.{name}"
    write, run = _FORMATS[name]
    write(path, program, model.description)
    exported_run = run(path)
    logits = torch.cat([exported_run(pixels), exported_run(pixels[:1])])
    difference = float(
        (logits - torch.cat([expected, expected[:1]])).abs().max() / expected.abs().max()
    )
    if not difference <= TOLERANCE:  # this form also catches NaN
        raise ExportError(
            f"Exported logits must differ by at most {TOLERANCE:g} of the largest, but those of "
            f"{path.name} differ by {difference:.1e}, so nothing was kept: leave it out, as with "
            f"--formats {' '.join(each for each in _FORMATS if each != name)}."
        )
    return path, difference


Run = Callable[[Tensor], Tensor]
"""A function of this type maps pixels, uint8 (B, side, side, 3), to logits, (B, classes)."""


def _write_safetensors(path: Path, program: Program, description: Description) -> None:
    """Writes the weights as a safetensors file, with the description in its metadata."""
    state = {k: tensor.contiguous() for k, tensor in program.network.state_dict().items()}
    # safetensors' `save_file` isn't used, because other users couldn't read its files.
    path.write_bytes(save(state, metadata={KEY: description.to_json(), "format": "pt"}))


def _run_safetensors(path: Path) -> Run:
    """Reads a safetensors file and returns a function from pixels to logits."""
    return _no_grad(_program(read_model(path)))


def _write_pt2(path: Path, program: Program, description: Description) -> None:
    """Writes the program as a pt2 file, with the description as an extra file inside."""
    torch.export.save(
        _exported(program, description), path, extra_files={f"{KEY}.json": description.to_json()}
    )


def _run_pt2(path: Path) -> Run:
    """Reads a pt2 file and returns a function from pixels to logits."""
    auxiliary = {f"{KEY}.json": ""}
    program: Any = torch.export.load(path, extra_files=auxiliary)
    Description.from_json(auxiliary[f"{KEY}.json"])
    return _no_grad(program.module())


def _exported(program: Program, description: Description) -> torch.export.ExportedProgram:
    """Returns the program as `torch.export` traces it, for batches of any size."""
    side = description.stored_px
    pixels = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    shapes = {"images": {0: torch.export.Dim("batch")}}
    with torch.no_grad():
        return torch.export.export(program, (pixels,), dynamic_shapes=shapes)


def _write_onnx(path: Path, program: Program, description: Description) -> None:
    """Writes the program as an ONNX file, with the description in its metadata."""
    results: Any = torch.onnx.export(
        _exported(program, description),
        input_names=["images"],
        output_names=["logits"],
        dynamo=True,
        verbose=False,
    )
    results.model.metadata_props[KEY] = description.to_json()
    results.save(path, external_data=False)


def _run_onnx(path: Path) -> Run:
    """Reads an ONNX file and returns a function from pixels to logits, run by onnxruntime on the
    CPU.
    """
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    Description.from_json(session.get_modelmeta().custom_metadata_map[KEY])

    def run(pixels: Tensor) -> Tensor:
        """Returns the logits of uint8 (B, side, side, 3)."""
        (logits,) = session.run(None, {"images": pixels.numpy()})
        return torch.from_numpy(logits)

    return run


def _no_grad(module: Callable[[Tensor], Tensor]) -> Run:
    """Returns a function that calls `module` in inference mode, where autograd stores nothing."""

    def run(pixels: Tensor) -> Tensor:
        """Returns the logits of uint8 (B, side, side, 3) in inference mode."""
        with torch.inference_mode():
            return module(pixels)

    return run


_FORMATS: dict[str, tuple[Callable[[Path, Program, Description], None], Callable[[Path], Run]]] = {
    "safetensors": (_write_safetensors, _run_safetensors),
    "pt2": (_write_pt2, _run_pt2),
    "onnx": (_write_onnx, _run_onnx),
}
"""This table gives the functions that write and read back a file of each format."""


def _check_packages(formats: Sequence[str]) -> None:
    """Raises `ExportError` if a package that the formats need is missing."""
    if "onnx" not in formats:
        return
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if not _is_importable(name)]
    if missing:
        raise ExportError(
            "ONNX needs the packages onnx, onnxscript and onnxruntime, but "
            f"{' and '.join(missing)} can't be imported: pip install '.[export]', or choose "
            "--formats safetensors pt2."
        )


def _is_importable(name: str) -> bool:
    """Returns whether a package can be imported."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True
