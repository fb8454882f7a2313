import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.samplers.encoding import (
    Encoding,
    PointCache,
    encode_points,
    nearest_squared,
    squared_distances,
)

SPACE = {
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "optimizer": CategoricalDistribution(["adamw", "sgd"]),
    "momentum": FloatDistribution(0.5, 0.9),
}
PARAMS = [
    {"lr": 1e-3, "optimizer": "sgd", "momentum": 0.7},
    {"lr": 1e-4, "optimizer": "adamw"},
    {"lr": 1e-2, "optimizer": "sgd", "momentum": 0.9},
]


def test_remembered_points_are_those_of_a_fresh_encoding_in_any_order():
    cache, encoding = PointCache(), Encoding(SPACE)
    assert cache.points(encoding, PARAMS[:1]) == pytest.approx(
        np.array([[0.5, 0.0, np.sqrt(0.5), 0.5]])
    )
    assert (cache.points(encoding, PARAMS) == encode_points(encoding, PARAMS)).all()
    assert (cache.points(encoding, PARAMS[::-1]) == encode_points(encoding, PARAMS[::-1])).all()


def test_only_unknown_configurations_are_encoded(monkeypatch):
    cache, encoding, encoded = PointCache(), Encoding(SPACE), []
    plain = encoding.encode_all
    monkeypatch.setattr(encoding, "encode_all", lambda new: (encoded.extend(new), plain(new))[1])
    for count in (2, 3, 3):
        cache.points(encoding, PARAMS[:count])
    assert encoded == PARAMS


def test_another_range_gives_other_points():
    cache = PointCache()
    cache.points(Encoding(SPACE), PARAMS)
    wider = Encoding(SPACE | {"lr": FloatDistribution(1e-5, 1e-1, log=True)})
    assert (cache.points(wider, PARAMS) == encode_points(wider, PARAMS)).all()


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1203])
def test_the_nearest_of_many_is_found_part_by_part(count):
    rng = np.random.default_rng(count)
    points, others = rng.random((30, 7)), rng.random((count, 7))
    expected = squared_distances(points, others).min(1)
    assert nearest_squared(points, others) == pytest.approx(expected, abs=1e-12)


def test_a_point_is_decoded_to_its_parameters():
    space = SPACE | {
        "layers": IntDistribution(1, 9, step=2),
        "dropout": FloatDistribution(0, 0.5, step=0.1),
    }
    encoding = Encoding(space)
    for params in PARAMS:
        params = params | {"layers": 5, "dropout": 0.3}
        found = encoding.decode(encoding.encode(params))
        assert found == pytest.approx(params)
        assert isinstance(found["layers"], int)
        for name, value in found.items():
            assert space[name]._contains(space[name].to_internal_repr(value))
