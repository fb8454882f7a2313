"""How busy a machine was, from records and on the page."""

from pathlib import Path

from results.analysis.machine_use import MachineUse, read_machine_use
from results.page.run_data import read_run
from results.page.time_use import machine, time_section
from results.records import TrialRecord, TrialState
from results.store import RunStore
from tests.results.example_search import MANIFEST, six
from tests.search.study_on_curves import metrics

CORES = MachineUse(processor=0.93751, memory=0.25)
CARD = MachineUse(processor=0.5, memory=0.25, gpu=0.875, gpu_memory=0.125)


def test_what_is_recorded_is_read_again() -> None:
    assert CORES.to_record() == {"use_processor": 0.9375, "use_memory": 0.25}
    assert MachineUse.from_record(CARD.to_record()) == CARD
    assert MachineUse.from_record({"epoch": 1}) is None
    assert CORES.describe() == "processor 94%, memory 25%"
    assert CARD.describe() == "processor 50%, memory 25%, GPU 88%, its memory 12%"


def recorded(directory: Path) -> Path:
    """A run of two sessions, of 100 and 20 s, whose first one recorded no use in one epoch."""
    clock, use = [0.0], [CARD]
    entry = MANIFEST["sessions"][0]
    store = RunStore.create(directory, MANIFEST | {"sessions": [entry]}, clock=lambda: clock[0])
    record = TrialRecord(number=0, state=TrialState.RUNNING, params={}, config={"epochs": 4})
    store.add_trial(record)
    store.add_epoch(0, metrics(1, 0.1))
    store.measures = lambda: use[0].to_record()
    clock[0] = 100.0
    store.add_epoch(0, metrics(2, 0.2))
    store.close()
    store = RunStore(directory, clock=lambda: clock[0])
    store.write_manifest(MANIFEST | {"sessions": [entry, entry]})
    store.measures, use[0] = (lambda: use[0].to_record()), CORES
    clock[0] = 120.0
    store.add_epoch(0, metrics(3, 0.3))
    store.close()
    return directory


def test_sessions_follow_each_other_without_the_time_between(tmp_path: Path) -> None:
    found = read_machine_use(recorded(tmp_path / "run"))
    assert found == [(100.0, CARD), (120.0, MachineUse(processor=0.9375, memory=0.25))]


def test_the_figure_has_a_line_for_what_is_known(tmp_path: Path) -> None:
    figure = machine([(60.0, CORES), (120.0, CORES)])
    assert [line.name for line in figure.data] == ["processor", "memory"]
    assert list(figure.data[0].x) == [60.0, 120.0]
    assert figure.layout.xaxis.title.text == "seconds of the search"
    assert list(machine([(60.0, CORES), (180.0, CORES)]).data[0].x) == [1.0, 3.0]
    assert [line.name for line in machine([(60.0, CARD)]).data] == [
        "processor", "memory", "GPU", "GPU memory",
    ]  # fmt: skip


def test_an_older_run_has_no_such_figure(tmp_path: Path) -> None:
    keys = [panel.key for panel in time_section(read_run(six(tmp_path / "run"))).panels]
    assert keys == ["survival", "time"]
