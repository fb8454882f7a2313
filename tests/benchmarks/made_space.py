"""Made-up learning curves over the parameters of a space, for studies that train nothing."""

from random import Random

import numpy as np

from search.samplers.encoding import Encoding
from search.samplers.source import ConfigurationSource
from search.simulation.recorded_curves import Curves
from search.study.proposer import Proposer

CONFIGURATIONS = 1000


def drawn(proposer: Proposer, count: int, seed: int) -> tuple[Encoding, list[dict[str, object]]]:
    """(what encodes them, parameters of `count` random configurations) of a proposer's space."""
    source = ConfigurationSource(proposer._ask, proposer.baseline_params())
    random = Random(seed)
    made = [source.draw(random) for _ in range(count)]
    encoding = Encoding({name: d for each in made for name, d in each.distributions.items()})
    return encoding, [each.params for each in made]


def made_curves(proposer: Proposer, epochs: int) -> Curves:
    """Curves of `CONFIGURATIONS` configurations, the better the nearer they lie to one of them."""
    encoding, params = drawn(proposer, CONFIGURATIONS, seed=1)
    points = encoding.encode_all(params)
    rng = np.random.default_rng(2)
    whole = np.nan_to_num(points, nan=0.5)
    final = np.exp(-0.5 * ((whole - whole[0]) ** 2).sum(1))
    rise = 1 - np.exp(-0.2 * np.arange(1, epochs + 1))
    val = final[:, None] * rise + rng.normal(0, 0.01, (CONFIGURATIONS, epochs))
    return Curves(
        name="made",
        encoding=encoding,
        points=points,
        val=np.clip(val, 0, 1),
        epoch_s=rng.uniform(50, 70, CONFIGURATIONS),
        num_classes=200,
    )
