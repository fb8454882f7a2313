"""Fits a Gaussian process over the unit cube of a space's parameters.

The kernel is a Matérn 5/2 with a length scale for each parameter (Rasmussen & Williams 2006,
chapters 2, 4 and 5): a parameter that doesn't matter gets a long one. Length scales and noise are
those of the highest posterior, so that the prior decides with few trials and many parameters, and
the data with many trials.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.samplers.encoding import Matrix, Vector, squared_distances

FITTED = 80
"""Length scales are fitted to at most this many observations: the time of a fit grows with the cube
of their number.
"""

CONDITIONED = 500
"""Predictions use at most this many observations: the time of conditioning grows with the cube of
their number, and the memory with the square. All of 10,000 trials would take minutes and gigabytes
for each proposal.
"""

STEPS = 15
"""L-BFGS takes this many iterations, because further ones hardly change the proposals."""

LENGTH_SPREAD, NOISE, NOISE_SPREAD = 1.2, 0.01, 1.5
"""Priors are log-normal: `NOISE` is the median noise, as a share of the values' variance, and the
other two are standard deviations of logarithms.

The median length scale is half the diagonal of the cube: the distance between two points grows
with the number of parameters, and so must what counts as far (Hvarfner et al. 2024,
arXiv:2402.02229).
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observations:
    """Holds `points` in the unit cube, of shape (n, width), and their `values`, of shape (n,), of
    which higher ones are better.

    `variances`, of shape (n,), is the uncertainty of each value besides the noise that all share.
    """

    points: Matrix
    values: Vector
    variances: Vector

    def at(self, rows: NDArray[np.intp]) -> "Observations":
        """Returns the observations in some of the rows."""
        return Observations(
            points=self.points[rows], values=self.values[rows], variances=self.variances[rows]
        )


class GaussianProcess:
    """Predicts values from the observations in `seen`, or from `CONDITIONED` of them: those in
    `points`.

    `owners`, of shape (width,), holds the index of the parameter that each axis belongs to.
    """

    def __init__(self, seen: Observations, owners: NDArray[np.intp], rng: np.random.Generator):
        self._mean = float(seen.values.mean())
        self._scale = float(seen.values.std()) or 1.0
        theta = _fit(_sample(seen, FITTED, rng), owners, self._mean, self._scale)
        self._lengths, self._noise = np.exp(theta[:-1])[owners], float(np.exp(theta[-1]))
        sample = _sample(seen, CONDITIONED, rng)
        self.points = sample.points
        self._condition(sample)

    def predict(self, points: Matrix) -> tuple[Vector, Vector]:
        """Returns the mean and the standard deviation of the noise-free value at each point, both
        of shape (n,).
        """
        from scipy.linalg import solve_triangular

        kernel = _matern(squared_distances(points / self._lengths, self._points / self._lengths))
        rest = solve_triangular(self._factor, kernel.T, lower=True, check_finite=False)
        deviation = np.sqrt(np.maximum(1.0 - np.einsum("ij,ij->j", rest, rest), 1e-9))
        return kernel @ self._weights * self._scale + self._mean, deviation * self._scale

    def believe(self, points: Matrix) -> None:
        """Adds `points` that are being tried, with their expected values.

        Workers that ask meanwhile therefore get points elsewhere («kriging believer», Ginsbourger
        et al. 2010).
        """
        values = self.predict(points)[0]
        self._condition(
            Observations(
                points=np.concatenate([self._points, points]),
                values=np.concatenate([self._values, values]),
                variances=np.concatenate([self._variances, np.zeros(len(points))]),
            )
        )

    def _condition(self, seen: Observations) -> None:
        from scipy.linalg import cho_solve, cholesky

        self._points, self._values, self._variances = seen.points, seen.values, seen.variances
        scaled = seen.points / self._lengths
        kernel = _matern(squared_distances(scaled, scaled))
        kernel[np.diag_indices_from(kernel)] += self._noise + seen.variances / self._scale**2
        self._factor = cholesky(kernel, lower=True, check_finite=False)
        standard = (seen.values - self._mean) / self._scale
        self._weights: Vector = cho_solve((self._factor, True), standard, check_finite=False)


def _sample(seen: Observations, count: int, rng: np.random.Generator) -> Observations:
    """Returns `count` observations: the best ones, and as many random ones of the others."""
    if len(seen.values) <= count:
        return seen
    order = np.argsort(-seen.values, kind="stable")
    best, others = order[: count // 2], order[count // 2 :]
    return seen.at(np.concatenate([best, rng.choice(others, count // 2, replace=False)]))


def _fit(seen: Observations, owners: NDArray[np.intp], mean: float, scale: float) -> Vector:
    """Returns the logarithms of each parameter's length scale, and of the noise."""
    from scipy.optimize import minimize

    count = int(owners.max()) + 1
    middle = np.append(np.full(count, np.log(0.5 * np.sqrt(count))), np.log(NOISE))
    spread = np.append(np.full(count, LENGTH_SPREAD), NOISE_SPREAD)
    apart = (seen.points[:, None, :] - seen.points[None, :, :]) ** 2
    distances = np.stack([apart[..., owners == each].sum(-1) for each in range(count)])
    target, variances = (seen.values - mean) / scale, seen.variances / scale**2

    def loss(theta: Vector) -> tuple[float, Vector]:
        value, slope = _likelihood(theta, distances, target, variances)
        off = (theta - middle) / spread
        return value + 0.5 * float(off @ off), slope + off / spread

    bounds = [(np.log(0.05), np.log(20.0))] * count + [(np.log(1e-4), 0.0)]
    found = minimize(
        loss, middle, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}
    )
    return np.asarray(found.x, dtype=np.float64)


def _likelihood(
    theta: Vector, distances: NDArray[np.float64], target: Vector, variances: Vector
) -> tuple[float, Vector]:
    """Returns the negative log marginal likelihood, without its constant, and its gradient in
    `theta` (Rasmussen & Williams, equations 2.30 and 5.9).

    distances: squared distances, of shape (parameters, n, n).

    The gradient needs every entry of the kernel's inverse, which is computed from the Cholesky
    factor as the solution for the identity.
    """
    from scipy.linalg import cho_solve, cholesky

    inverse = np.exp(-2.0 * theta[:-1])
    squared = np.tensordot(inverse, distances, axes=1)
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    kernel = (1.0 + root + 5.0 / 3.0 * squared) * decay
    noise = float(np.exp(theta[-1]))
    kernel[np.diag_indices_from(kernel)] += noise + variances
    factor = cholesky(kernel, lower=True, check_finite=False)
    weights = cho_solve((factor, True), target, check_finite=False)
    inverted = cho_solve((factor, True), np.eye(len(target)), check_finite=False)
    value = 0.5 * float(target @ weights) + float(np.log(np.diagonal(factor)).sum())
    outer = inverted - np.outer(weights, weights)
    # The kernel's slope in a log length scale: 5/3 (1 + r) exp(-r) times the scaled distance.
    common = outer * (5.0 / 3.0) * (1.0 + root) * decay
    slope = 0.5 * inverse * np.tensordot(distances, common, axes=((1, 2), (0, 1)))
    return value, np.append(slope, 0.5 * noise * float(np.trace(outer)))


def _matern(squared: Matrix) -> Matrix:
    root = np.sqrt(5.0 * squared)
    return np.asarray((1.0 + root + 5.0 / 3.0 * squared) * np.exp(-root))
