"""What Prometheus is told, and that the dashboard asks for nothing else."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from results.records import StopReason, TrialState
from search.monitoring.prometheus import ENDINGS, LABELS, METRICS, readings
from tests.search.monitoring.test_screen import Search

BOARD = (
    Path(__file__).parents[3]
    / "search"
    / "monitoring"
    / "grafana"
    / "search_grafana_dashboard.json"
)


def values(search):
    return {(each.name, *each.labels): each.value for each in readings(search.progress)}


def test_a_running_search_in_numbers():
    search = Search(trials=9, gpus=0.5)
    search.train(0, 0.1, 0.6, 0.5)
    search.end(0)
    search.train(1, 0.2)
    search.end(1, TrialState.STOPPED, StopReason.RUNG)
    search.train(2, 0.9)
    search.end(2, TrialState.FAILED, StopReason.MEMORY)
    search.train(3, 0.3, gap=0.1)
    search.train(4, 0.3, gap=0.3)
    search.train(0, 0.3, gap=-0.1, repeat=1)
    search.now += 9  # of two GPUs, which three halves hold
    found = values(search)
    assert found["search_best_val_top1_ratio",] == 0.5
    assert found["search_trials", "running", ""] == 2
    assert found["search_trials", "complete", ""] == 1
    assert found["search_trials", "stopped", "rung"] == 1
    assert found["search_trials", "stopped", "overfitting"] == 0
    assert found["search_trials", "failed", "memory"] == 1
    assert found["search_trials", "failed", ""] == 0
    assert found["search_trainings_running",] == 3
    assert found["search_trials_planned",] == 9
    assert found["search_epochs_trained",] == 8
    assert found["search_images_per_second",] == 300
    assert found["search_epochs_per_second",] == pytest.approx(3 / 1.5)
    assert found["search_gap_mean_ratio",] == pytest.approx(0.1)
    assert found["search_gap_max_ratio",] == pytest.approx(0.3)
    assert found["search_gpu_hours",] == pytest.approx(2 * 9 / 3600)
    assert found["search_gpu_busy_ratio",] == pytest.approx(8 * 1.5 * 0.5 / (2 * 9))
    assert {name for name, *_ in found} == set(METRICS)


def test_what_isn_t_known_yet_is_left_out():
    found = {name for name, *_ in values(Search())}
    assert found == set(METRICS) - {
        "search_best_val_top1_ratio", "search_gap_mean_ratio", "search_gap_max_ratio",
    }  # fmt: skip


def test_every_ending_has_its_series():
    assert {reason for state, reason in ENDINGS if reason} == set(StopReason)
    assert {state for state, _ in ENDINGS} == set(TrialState) - {TrialState.RUNNING}


def test_the_dashboard_asks_for_metrics_and_labels_that_exist():
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [each["definition"] for each in board["templating"]["list"] if "definition" in each]
    named = {name for text in asked for name in re.findall(r"\bray_(\w+)", text)}
    assert named == set(METRICS)
    for text in asked:
        name = re.search(r"\bray_(\w+)", text)[1]
        labels = {*LABELS, *METRICS[name].labels}
        assert set(re.findall(r'(\w+)=~?"', text)) <= labels
        assert set(re.findall(r"\$(\w+)", text)) <= {*LABELS}
        for group in re.findall(r" by \(([^)]*)\)", text):
            assert set(group.split(", ")) <= labels


def test_the_dashboard_is_built_like_ray_s_own():
    ray = Path(find_spec("ray").origin).parent
    theirs = ray / "dashboard/modules/metrics/dashboards/train_grafana_dashboard_base.json"
    base = json.loads(theirs.read_text(encoding="utf-8"))
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    assert set(base) <= set(board)
    assert board["schemaVersion"] == base["schemaVersion"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) >= 9
    taken = set()
    for panel in board["panels"]:
        assert panel["datasource"] == "${datasource}"
        assert panel["type"] == "graph"
        assert panel["fieldConfig"]["defaults"]["unit"] == panel["yaxes"][0]["format"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    variables = {each["name"] for each in board["templating"]["list"]}
    assert variables == {"datasource", *LABELS}
