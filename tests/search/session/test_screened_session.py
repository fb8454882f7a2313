"""A session that begins with short trainings: its plan is the run's, whatever is planned later."""

from pathlib import Path

import pytest

from results.store import read_manifest
from search.planning import screening
from search.planning.screening import ScreeningPlan
from search.session.manifest import read_screening
from search.session.session import Session
from tests.search.session_on_curves import opened, planned


def session_of(out: Path, data: Path, **changes: object) -> Session:
    return opened(planned(out, data, changes, name="run", trials=3))


def test_the_run_keeps_its_plan(tmp_path: Path, tiny_data: Path, monkeypatch) -> None:
    first = session_of(tmp_path, tiny_data, epochs=60, fidelity="screening")
    plan = ScreeningPlan(count=13, epochs=3, images=1.0, size=1.0, cost=pytest.approx(0.075))
    assert read_screening(read_manifest(tmp_path / "run")) == plan
    assert first.screening is not None
    assert (first.screening.count, first.screening.images) == (13, 1.0)
    limits = first.limits
    assert (limits.screening, limits.screening_epochs, limits.val_images) == (
        13,
        pytest.approx(58.5),
        8,
    )
    proposal = first.supervisor.propose()
    assert proposal is not None
    assert proposal.training.screening
    first.close()
    monkeypatch.setattr(screening, "MOST", 12)
    again = session_of(tmp_path, tiny_data)
    assert again.screening is not None
    assert again.screening.count == 13
    assert list(again.screening.records) == [proposal.training]
    again.close()


def test_why_there_is_none_stands_in_the_manifest(tmp_path: Path, tiny_data: Path) -> None:
    session = session_of(tmp_path, tiny_data, fidelity="screening")
    assert session.screening is None
    assert str(read_screening(session.manifest)).startswith("none: 12 short trainings")
    session.close()
    other = opened(planned(tmp_path, tiny_data, {}, name="other", trials=3))
    assert read_screening(other.manifest) is None
    other.close()
