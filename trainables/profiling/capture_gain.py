"""States what a GPU gains by taking a step as one CUDA graph, free of torch."""

import math
from dataclasses import dataclass

WORTH = 1.05
"""Steps are captured if that makes them at least this many times as fast."""

TOLERANCE = 0.02
"""Weights may differ by this share of what training has changed, if steps are captured, or by twice
as much as those of two trainings without. Rounding alone makes a difference, where a GPU adds in
another order from call to call.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureGain:
    """Holds the images per second of one training on a GPU, with steps whose operations start one
    by one, and with steps that are one CUDA graph. A rate is 0 where such steps don't run, as for
    want of memory.

    difference: how far the weights of both lie apart after equal steps, as a share of how far these
        have moved them.
    noise: how far those of two trainings with steps one by one lie apart, where that was measured.
    """

    plain_images_per_s: float = 0.0
    captured_images_per_s: float = 0.0
    difference: float = 0.0
    noise: float = 0.0

    @property
    def worthwhile(self) -> bool:
        """Returns whether captured steps are faster, and train the same."""
        faster = self.captured_images_per_s > WORTH * self.plain_images_per_s
        return faster and self.difference <= max(TOLERANCE, 2 * self.noise)

    @property
    def images_per_s(self) -> float:
        """Returns the rate of the steps that are worthwhile."""
        return self.captured_images_per_s if self.worthwhile else self.plain_images_per_s

    def sound(self) -> bool:
        """Returns whether steps were measured, and the numbers are such as measurements give."""
        numbers = (
            self.plain_images_per_s,
            self.captured_images_per_s,
            self.difference,
            self.noise,
        )
        finite = all(isinstance(number, float) and 0 <= number < math.inf for number in numbers)
        return finite and self.plain_images_per_s > 0

    def describe(self) -> str:
        """Returns in words how steps are taken, and why."""
        if not self.captured_images_per_s:
            return "steps start one operation at a time: they can't be captured as a CUDA graph"
        gain = self.captured_images_per_s / self.plain_images_per_s
        shown = (
            f"{gain:.1f} × as fast as operations one by one, weights {self.difference:.1%} apart"
        )
        if self.worthwhile:
            return f"each step is one CUDA graph: {shown}"
        return f"steps start one operation at a time, because one CUDA graph is {shown}"
