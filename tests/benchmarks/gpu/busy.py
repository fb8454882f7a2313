"""The share of time in which a GPU computed, as its driver counts it."""

import threading
import time
from types import TracebackType
from typing import Self

import torch
from ray._private.thirdparty import pynvml

EVERY_S = 0.1


class BusyShare:
    """Asks NVML ten times a second, while the block runs, for the first GPU's utilisation, which is
    the share of the last moments in which any kernel ran, however few of the GPU's units it used.
    """

    def __init__(self) -> None:
        self._values: list[tuple[float, int]] = []
        self._began = time.perf_counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        try:
            pynvml.nvmlInit()
            # NVML counts cards in another order than CUDA, and knows no CUDA_VISIBLE_DEVICES.
            uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
            card = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            while not self._over.wait(EVERY_S):
                used = pynvml.nvmlDeviceGetUtilizationRates(card).gpu
                self._values.append((time.perf_counter() - self._began, used))
        except pynvml.NVMLError:
            return  # no GPU, or a slice, which has another UUID and keeps no count

    def percent(self, since_s: float = 0.0) -> dict[str, float]:
        """The mean as `busy_percent`, from so many seconds after the beginning on; nothing where
        there is no count.
        """
        values = [used for at, used in self._values if at >= since_s]
        return {"busy_percent": sum(values) / len(values)} if values else {}
