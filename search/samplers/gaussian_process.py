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
"""Predictions use at most this many points, of which at most half are believed in where there are
more: the time of conditioning grows with the cube of their number, and the memory with the square.
All of 10,000 trials would take minutes and gigabytes for each proposal.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Believed:
    """Holds m points that are believed in, `scaled` by the length scales, and the rows by which the
    factor of n observations grows: `beside`, of shape (n, m), and `factor`, of shape (m, m).
    """

    scaled: Matrix
    beside: Matrix
    factor: Matrix


class GaussianProcess:
    """Predicts values from the observations in `seen`, at whose points the highest mean is `best`.

    `begun`, of shape (m, width), holds points that are being tried. The process believes that they
    will have their expected values, so that workers which ask meanwhile get points elsewhere
    («kriging believer», Ginsbourger et al. 2010). `owners`, of shape (width,), holds the index of
    the parameter that each axis belongs to.
    """

    def __init__(
        self,
        seen: Observations,
        begun: Matrix,
        owners: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> None:
        self._mean = float(seen.values.mean())
        self._scale = float(seen.values.std()) or 1.0
        theta = _fit(_sample(seen, FITTED, rng), owners, self._mean, self._scale)
        self._lengths, self._noise = np.exp(theta[:-1])[owners], float(np.exp(theta[-1]))
        room = max(CONDITIONED - len(seen.values), CONDITIONED // 2)
        believed = min(len(begun), room)
        self._condition(_sample(seen, CONDITIONED - believed, rng))
        if believed < len(begun):
            begun = begun[rng.choice(len(begun), believed, replace=False)]
        self._believed = self._believe(begun) if believed else None

    def predict(self, points: Matrix) -> tuple[Vector, Vector]:
        """Returns the mean and the standard deviation of the noise-free value at each point, both
        of shape (n,).
        """
        scaled = points / self._lengths
        kernel = _kernel(self._scaled, scaled)
        rest = _solve_lower(self._factor, kernel)
        known = np.einsum("ij,ij->j", rest, rest)
        if self._believed is not None:
            believed = self._believed
            beside = _kernel(believed.scaled, scaled) - believed.beside.T @ rest
            more = _solve_lower(believed.factor, beside)
            known += np.einsum("ij,ij->j", more, more)
        deviation = np.sqrt(np.maximum(1.0 - known, 1e-9))
        return self._weights @ kernel * self._scale + self._mean, deviation * self._scale

    def _believe(self, points: Matrix) -> _Believed:
        """Returns what `points` with their expected values add to the kernel's factor. They leave
        every mean as it is, and only make deviations smaller.
        """
        scaled = points / self._lengths
        beside = _solve_lower(self._factor, _kernel(self._scaled, scaled))
        rest = _kernel(scaled, scaled) - beside.T @ beside
        rest[np.diag_indices_from(rest)] += self._noise
        return _Believed(scaled=scaled, beside=beside, factor=_cholesky(rest))

    def _condition(self, seen: Observations) -> None:
        from scipy.linalg import cho_solve

        self._scaled = seen.points / self._lengths
        kernel = _kernel(self._scaled, self._scaled)
        kernel[np.diag_indices_from(kernel)] += self._noise + seen.variances / self._scale**2
        self._factor = _cholesky(kernel)
        standard = (seen.values - self._mean) / self._scale
        self._weights: Vector = cho_solve((self._factor, True), standard, check_finite=False)
        # K w = y - D w, where D is the noise on the kernel's diagonal.
        means = standard - (self._noise + seen.variances / self._scale**2) * self._weights
        self.best = float(means.max()) * self._scale + self._mean


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
    from scipy.linalg import cho_solve

    inverse = np.exp(-2.0 * theta[:-1])
    squared = np.tensordot(inverse, distances, axes=1)
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    kernel = (1.0 + root + 5.0 / 3.0 * squared) * decay
    noise = float(np.exp(theta[-1]))
    kernel[np.diag_indices_from(kernel)] += noise + variances
    factor = _cholesky(kernel)
    weights = cho_solve((factor, True), target, check_finite=False)
    inverted = cho_solve((factor, True), np.eye(len(target)), check_finite=False)
    value = 0.5 * float(target @ weights) + float(np.log(np.diagonal(factor)).sum())
    outer = inverted - np.outer(weights, weights)
    # The kernel's slope in a log length scale: 5/3 (1 + r) exp(-r) times the scaled distance.
    common = outer * (5.0 / 3.0) * (1.0 + root) * decay
    slope = 0.5 * inverse * np.tensordot(distances, common, axes=((1, 2), (0, 1)))
    return value, np.append(slope, 0.5 * noise * float(np.trace(outer)))


def _kernel(left: Matrix, right: Matrix) -> Matrix:
    """Returns Matérn's kernel of points that are scaled by the length scales, of shape (n, m)."""
    squared = squared_distances(left, right)
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    # The rest happens in place, because fresh memory costs more than the sums.
    root += 1.0
    root += 5.0 / 3.0 * squared
    root *= decay
    return np.asarray(root)


def _cholesky(matrix: Matrix) -> Matrix:
    from scipy.linalg import cholesky

    return np.asarray(cholesky(matrix, lower=True, overwrite_a=True, check_finite=False))


def _solve_lower(factor: Matrix, right: Matrix) -> Matrix:
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(factor, right, lower=True, check_finite=False))
