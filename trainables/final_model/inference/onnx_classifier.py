"""Classifies images by an exported ONNX file in onnxruntime on the CPU, without torch.

Torch takes seconds to import; onnxruntime takes a tenth of one.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.allowance import allowed_cores
from trainables.final_model.description import KEY, Description, ModelError, damage_error

BATCH_SIZE = 128
"""So many images are classified at once, as in an evaluation on a CPU."""

_ERRORS_ONLY = 3
"""This level of onnxruntime's log leaves out warnings, such as of a missing GPU."""


class OnnxClassifier:
    """An `OnnxClassifier` is an exported model, which computes in float32.

    The constructor raises `ModelError` for a file that `trainables.export` didn't write or that is
    damaged, and without onnxruntime.
    """

    name = "onnx"

    def __init__(self, path: Path) -> None:
        try:
            runtime: Any = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise ModelError(
                f"{path} needs the package onnxruntime, but that can't be imported: pip install "
                "'.[export]', or give the folder of final training with --backend torch."
            ) from error
        options = runtime.SessionOptions()
        options.intra_op_num_threads = allowed_cores().amount
        options.log_severity_level = _ERRORS_ONLY
        runtime.set_default_logger_severity(_ERRORS_ONLY)
        try:
            self._session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            text = self._session.get_modelmeta().custom_metadata_map[KEY]
            self.description = Description.from_json(text)
            self.description.trial_config()
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime raises a dozen types for broken content
            raise damage_error(path, error) from error
        self.batch_size = BATCH_SIZE

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns float32 (B, classes) for uint8 (B, side, side, 3)."""
        (logits,) = self._session.run(None, {"images": pixels})
        found: NDArray[np.float32] = logits
        return found
