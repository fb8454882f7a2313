import pytest

from search import worker
from search.preflight import PreflightError


def test_a_worker_that_would_import_foreign_packages_trains_nothing(monkeypatch):
    sentence = "`datasets` must be the folder in /here, but Python finds /there."
    monkeypatch.setattr(worker, "foreign_packages", lambda root: [sentence])
    trainable = worker.TrialWorker.__new__(worker.TrialWorker)
    with pytest.raises(PreflightError, match="must be the folder in /here"):
        trainable.setup({"number": 0})
    trainable.cleanup()
