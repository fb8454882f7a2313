import numpy as np
import pytest

from search.samplers import gaussian_process
from search.samplers.gaussian_process import GaussianProcess, Observations


def observed(points, values, variances=None):
    zeros = np.zeros(len(values))
    return Observations(
        points=np.asarray(points, float),
        values=np.asarray(values, float),
        variances=zeros if variances is None else np.asarray(variances, float),
    )


def fitted(seen, owners=None, begun=None):
    width = seen.points.shape[1]
    return GaussianProcess(
        seen,
        np.zeros((0, width)) if begun is None else begun,
        np.arange(width) if owners is None else owners,
        np.random.default_rng(0),
    )


def bowl(points):
    return 0.8 - (points[:, 0] - 0.3) ** 2


def test_it_predicts_a_smooth_function_between_what_it_has_seen():
    points = np.random.default_rng(1).random((60, 3))
    asked = np.random.default_rng(2).random((200, 3))
    mean, deviation = fitted(observed(points, bowl(points))).predict(asked)
    assert np.abs(mean - bowl(asked)).max() < 0.02
    assert deviation.max() < 0.1


def test_a_parameter_that_does_not_matter_gets_a_long_length_scale():
    points = np.random.default_rng(1).random((60, 3))
    made = fitted(observed(points, bowl(points)))
    assert made._lengths[1:].min() > 4 * made._lengths[0]


def test_it_is_sure_where_it_has_seen_much_and_unsure_far_away():
    points = np.random.default_rng(1).random((40, 2)) / 4
    made = fitted(observed(points, np.sin(20 * points[:, 0])))
    deviation = made.predict(np.array([[0.12, 0.12], [1.0, 1.0]]))[1]
    assert deviation[0] < deviation[1] / 5


def test_what_is_being_tried_is_taken_for_what_was_expected():
    seen = observed(np.array([[0.1], [0.4], [0.9]]), [0.2, 0.6, 0.3])
    asked = np.array([[0.6]])
    before = fitted(seen).predict(asked)
    after = fitted(seen, begun=asked).predict(asked)
    assert after[0] == pytest.approx(before[0])
    assert after[1] < before[1] / 2


@pytest.mark.parametrize(("count", "tried"), [(12, 30), (60, 8), (300, 200)])
def test_believed_points_count_as_observations_with_their_expected_values(count, tried):
    rng = np.random.default_rng(count)
    points, begun, asked = (rng.random((size, 4)) for size in (count, tried, 100))
    seen = observed(points, bowl(points) + rng.normal(0, 0.02, count), np.full(count, 1e-4))
    made = fitted(seen, begun=begun)
    mean, deviation = made.predict(asked)
    every = np.concatenate([points, begun]) / made._lengths
    noise = made._noise + np.append(seen.variances / made._scale**2, np.zeros(tried))
    inverse = np.linalg.inv(gaussian_process._kernel(every, every) + np.diag(noise))
    expected = fitted(seen).predict(begun)[0]
    values = (np.append(seen.values, expected) - made._mean) / made._scale
    kernel = gaussian_process._kernel(asked / made._lengths, every)
    explained = np.einsum("ij,jk,ik->i", kernel, inverse, kernel)
    assert mean == pytest.approx(kernel @ inverse @ values * made._scale + made._mean, rel=1e-6)
    assert deviation == pytest.approx(np.sqrt(1.0 - explained) * made._scale, rel=1e-6)


def test_the_best_is_the_highest_mean_at_what_was_seen():
    rng = np.random.default_rng(4)
    points = rng.random((50, 3))
    made = fitted(observed(points, bowl(points) + rng.normal(0, 0.1, 50), rng.random(50) / 100))
    assert made.best == pytest.approx(made.predict(points)[0].max(), rel=1e-9)


def test_an_uncertain_value_weighs_less():
    points = np.array([[0.0], [0.25], [0.5], [0.75], [1.0]])
    values = [0.0, 0.0, 1.0, 0.0, 0.0]
    sure = fitted(observed(points, values)).predict(points)[0][2]
    unsure = fitted(observed(points, values, [0, 0, 4.0, 0, 0])).predict(points)[0][2]
    assert unsure < sure / 2


def test_the_axes_of_a_choice_share_a_length_scale():
    points = np.random.default_rng(0).random((30, 3))
    made = fitted(observed(points, bowl(points)), owners=np.array([0, 1, 1]))
    assert made._lengths[1] == made._lengths[2] != made._lengths[0]


def test_the_slope_of_the_likelihood_is_the_one_that_differences_give():
    rng = np.random.default_rng(0)
    points, target = rng.random((12, 2)), rng.normal(size=12)
    apart = np.moveaxis((points[:, None] - points[None]) ** 2, -1, 0)
    theta, variances = np.log([0.4, 0.7, 0.05]), np.full(12, 0.01)
    _, slope = gaussian_process._likelihood(theta, apart, target, variances)
    for axis in range(3):
        step = np.eye(3)[axis] * 1e-5
        above, below = (
            gaussian_process._likelihood(theta + sign * step, apart, target, variances)[0]
            for sign in (1, -1)
        )
        assert slope[axis] == pytest.approx((above - below) / 2e-5, rel=1e-4)


def likelihood_by_inverse(theta, distances, target, variances):
    """Equations 2.30 and 5.9 as they are written, by a general inverse of the kernel."""
    inverse_squares = np.exp(-2.0 * theta[:-1])
    squared = np.tensordot(inverse_squares, distances, axes=1)
    root = np.sqrt(5.0 * squared)
    kernel = (1.0 + root + 5.0 / 3.0 * squared) * np.exp(-root)
    kernel += np.diag(np.exp(theta[-1]) + variances)
    inverse = np.linalg.inv(kernel)
    weights = inverse @ target
    value = 0.5 * target @ weights + 0.5 * np.linalg.slogdet(kernel)[1]
    outer = inverse - np.outer(weights, weights)
    common = outer * (5.0 / 3.0) * (1.0 + root) * np.exp(-root)
    slope = 0.5 * inverse_squares * np.tensordot(distances, common, axes=((1, 2), (0, 1)))
    return value, np.append(slope, 0.5 * np.exp(theta[-1]) * np.trace(outer))


@pytest.mark.parametrize(("count", "width"), [(12, 2), (60, 12), (300, 5)])
def test_predictions_by_the_cholesky_factor_are_those_of_the_inverse(monkeypatch, count, width):
    rng = np.random.default_rng(count)
    points, asked = rng.random((count, width)), rng.random((200, width))
    seen = observed(points, bowl(points) + rng.normal(0, 0.02, count), np.full(count, 1e-4))
    made = fitted(seen)
    mean, deviation = made.predict(asked)

    monkeypatch.setattr(gaussian_process, "_likelihood", likelihood_by_inverse)
    other = fitted(seen)
    kernels = [
        gaussian_process._kernel(rows / other._lengths, points / other._lengths)
        for rows in (points, asked)
    ]
    inverse = np.linalg.inv(kernels[0] + np.diag(other._noise + seen.variances / other._scale**2))
    weights = inverse @ ((seen.values - other._mean) / other._scale)
    explained = np.einsum("ij,jk,ik->i", kernels[1], inverse, kernels[1])
    assert made._lengths == pytest.approx(other._lengths, rel=1e-9)
    assert mean == pytest.approx(kernels[1] @ weights * other._scale + other._mean, rel=1e-9)
    assert deviation == pytest.approx(np.sqrt(1.0 - explained) * other._scale, rel=1e-9)


def test_many_observations_keep_their_better_half_when_scales_are_fitted():
    values = np.arange(200.0)
    kept = gaussian_process._sample(
        observed(np.zeros((200, 1)), values), gaussian_process.FITTED, np.random.default_rng(0)
    ).values
    assert len(kept) == gaussian_process.FITTED
    assert set(range(160, 200)) <= set(kept)


def test_predictions_rest_on_a_bounded_number_of_observations():
    points = np.random.default_rng(1).random((gaussian_process.CONDITIONED + 700, 3))
    asked = np.random.default_rng(2).random((200, 3))
    made = fitted(observed(points, bowl(points)))
    assert len(made._weights) == gaussian_process.CONDITIONED
    assert np.abs(made.predict(asked)[0] - bowl(asked)).max() < 0.02


@pytest.mark.parametrize(
    ("seen", "begun", "kept", "believed"),
    [(20, 480, 20, 480), (492, 8, 492, 8), (900, 8, 492, 8), (900, 600, 250, 250),
     (20, 600, 20, 480)],
)  # fmt: skip
def test_observations_and_believed_points_share_the_bound(seen, begun, kept, believed):
    rng = np.random.default_rng(5)
    points = rng.random((seen, 2))
    made = fitted(observed(points, bowl(points)), begun=rng.random((begun, 2)))
    assert gaussian_process.CONDITIONED == 500
    assert (len(made._weights), len(made._believed.scaled)) == (kept, believed)


def test_as_many_as_are_kept_are_all_kept_and_nothing_is_drawn():
    points = np.random.default_rng(1).random((gaussian_process.CONDITIONED, 3))
    rng, untouched = np.random.default_rng(3), np.random.default_rng(3)
    seen = observed(points, bowl(points))
    assert gaussian_process._sample(seen, gaussian_process.CONDITIONED, rng) is seen
    assert rng.random() == untouched.random()
