"""A final model written as safetensors, as a `torch.export` program and as ONNX.

Each file carries its `Description` as JSON under the name `model`. The two programs take decoded
images, uint8 (B, side, side, 3) in RGB with `stored_px` a side, and give logits: shifting, scaling
and resizing are part of them. They compute in float32, whatever precision was tested.
"""

import importlib
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from common.errors import UserError
from datasets.splits import Images
from results.predictions import read_predictions
from trainables.augmentation.batch import for_evaluation
from trainables.config import TrialConfig
from trainables.final_model.saved_model import KEY, Description, SavedModel, read_model
from trainables.models.network import Network

TOLERANCE = 1e-4
"""How far logits may be from the original's, as a share of the largest. Seen in ONNX: 6e-6 of a
trained EfficientNet-Lite0 at 192 px over 79 images, torch 2.14.1, onnxruntime 1.32.0, Zen 4."""

_CPU = torch.device("cpu")


class ExportError(UserError):
    """A model can't be exported; the message says why and what to do."""


class Program(nn.Module):
    """From stored pixels to logits, as evaluation computes them, in float32."""

    def __init__(self, network: Network, config: TrialConfig, images: Images) -> None:
        super().__init__()
        self.network = network
        self._config, self._images = config, images

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, side, side, 3) -> float32 (B, classes)."""
        logits: Tensor = self.network(for_evaluation(images, self._config, self._images))
        return logits


def export(final: Path, to: Path | None, formats: Sequence[str]) -> list[tuple[Path, float]]:
    """The files, and how far each one's logits are from the original's, as `TOLERANCE` is.

    Each is read back and tried on real images, those whose pixels final training has kept. All
    are there at the end, or none is and what was there before stays. Raises `UserError` and
    `OSError`.
    """
    if not final.is_dir():
        raise ExportError(f"FINAL must be a folder of final training, but {final} is none.")
    _check_packages(formats)
    model, pixels = read_model(final), torch.from_numpy(read_predictions(final).pixels)
    program = _program(model)
    with torch.inference_mode():
        wanted = program(pixels)
    folder = to or final / "export"
    workshop = folder / f".{os.getpid()}.tmp"
    workshop.mkdir(parents=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how the exporters use torch
            made = [_made(name, program, model, pixels, wanted, workshop) for name in formats]
        for path, _ in made:
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    return [(folder / path.name, difference) for path, difference in made]


def _program(model: SavedModel) -> Program:
    description = model.description
    network = model.network(_CPU).requires_grad_(False)
    return Program(network, description.trial_config(), description.images()).eval()


def _made(
    name: str, program: Program, model: SavedModel, pixels: Tensor, wanted: Tensor, folder: Path
) -> tuple[Path, float]:
    """Writes one file and tries it, as a whole batch and as one image."""
    path = folder / f"model.{name}"
    write, run = _WAYS[name]
    write(path, program, model.description)
    found = run(path)
    logits = torch.cat([found(pixels), found(pixels[:1])])
    difference = float((logits - torch.cat([wanted, wanted[:1]])).abs().max() / wanted.abs().max())
    if not difference <= TOLERANCE:  # NaN is no more equal
        raise ExportError(
            f"Exported logits must differ by at most {TOLERANCE:g} of the largest, but those of "
            f"{path.name} differ by {difference:.1e}, so nothing was kept: leave it out, as with "
            f"--formats {' '.join(each for each in _WAYS if each != name)}."
        )
    return path, difference


Run = Callable[[Tensor], Tensor]


def _write_safetensors(path: Path, program: Program, description: Description) -> None:
    state = {k: tensor.contiguous() for k, tensor in program.network.state_dict().items()}
    # Its `save_file` would make a file that nobody else may read.
    path.write_bytes(save(state, metadata={KEY: description.to_json(), "format": "pt"}))


def _run_safetensors(path: Path) -> Run:
    return _no_grad(_program(read_model(path)))


def _write_pt2(path: Path, program: Program, description: Description) -> None:
    torch.export.save(
        _exported(program, description), path, extra_files={f"{KEY}.json": description.to_json()}
    )


def _run_pt2(path: Path) -> Run:
    auxiliary = {f"{KEY}.json": ""}
    program: Any = torch.export.load(path, extra_files=auxiliary)
    Description.from_json(auxiliary[f"{KEY}.json"])
    return _no_grad(program.module())


def _exported(program: Program, description: Description) -> torch.export.ExportedProgram:
    side = description.stored_px
    pixels = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    shapes = {"images": {0: torch.export.Dim("batch")}}
    with torch.no_grad():
        return torch.export.export(program, (pixels,), dynamic_shapes=shapes)


def _write_onnx(path: Path, program: Program, description: Description) -> None:
    made: Any = torch.onnx.export(
        _exported(program, description),
        input_names=["images"],
        output_names=["logits"],
        dynamo=True,
        verbose=False,
    )
    made.model.metadata_props[KEY] = description.to_json()
    made.save(path, external_data=False)


def _run_onnx(path: Path) -> Run:
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    Description.from_json(session.get_modelmeta().custom_metadata_map[KEY])

    def run(pixels: Tensor) -> Tensor:
        (logits,) = session.run(None, {"images": pixels.numpy()})
        return torch.from_numpy(logits)

    return run


def _no_grad(module: Callable[[Tensor], Tensor]) -> Run:
    def run(pixels: Tensor) -> Tensor:
        with torch.inference_mode():
            return module(pixels)

    return run


_WAYS: dict[str, tuple[Callable[[Path, Program, Description], None], Callable[[Path], Run]]] = {
    "safetensors": (_write_safetensors, _run_safetensors),
    "pt2": (_write_pt2, _run_pt2),
    "onnx": (_write_onnx, _run_onnx),
}


def _check_packages(formats: Sequence[str]) -> None:
    if "onnx" not in formats:
        return
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if not _there(name)]
    if missing:
        raise ExportError(
            "ONNX needs the packages onnx, onnxscript and onnxruntime, but "
            f"{' and '.join(missing)} can't be imported: pip install '.[export]', or choose "
            "--formats safetensors pt2."
        )


def _there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True
