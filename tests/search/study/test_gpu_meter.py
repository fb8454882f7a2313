"""For how long GPUs are held, on a clock that only the test moves."""

from dataclasses import replace

import pytest

from results.analysis.session_times import GpuTime, sum_gpu_time
from results.records import TrainingId, TrialRecord, TrialState
from search.study.budget import GpuMeter
from search.study.proposer import Proposal
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig

CONFIG = TrialConfig(network="resnet10", epochs=9)


class Meter(GpuMeter):
    """A meter with a clock of its own, and events in few words."""

    def __init__(self, *, planned=1, earlier=None):
        self.now = 100.0
        super().__init__(planned, earlier, lambda: self.now)

    def begin(self, number, share):
        self.began(Proposal(training=TrainingId(number), config=CONFIG), share)

    def name(self, number, *gpus):
        self.placed(TrainingId(number), gpus)

    def end(self, number):
        state = TrialState.COMPLETE
        self.ended(TrialRecord(number=number, state=state, params={}, config={}))

    def train(self, number, wall_s, loading_s=None):
        made = replace(metrics(1, 0.5), wall_s=wall_s, loading_s=loading_s)
        self.epoch(TrainingId(number), made, new=True)

    def held_s(self):
        return self.total().held_s


def test_a_card_that_one_of_sixteen_slots_uses_counts_whole():
    """Two trainings of a sixteenth each on one card for ten hours: ten hours, not 1.25."""
    meter = Meter()
    for number in (0, 1):
        meter.begin(number, 0.0625)
        meter.name(number, "node/0")
    meter.now += 36_000
    assert meter.held_s() == 36_000
    meter.end(0)
    assert meter.gpus() == 1
    meter.now += 60
    meter.end(1)
    meter.now += 1000  # no training runs: nobody holds the card for the search
    assert meter.held_s() == 36_060


def test_a_card_named_late_counts_from_the_training_s_start():
    """Until the first epoch, shares of 0.25 could lie on one card; they lie on two."""
    meter = Meter()
    meter.begin(0, 0.25)
    meter.now += 10
    meter.begin(1, 0.25)
    meter.now += 10
    assert meter.held_s() == 20
    assert meter.gpus() == 1
    meter.name(0, "node/0")
    assert meter.held_s() == 20
    meter.name(1, "node/1")
    assert meter.held_s() == 30  # 20 s of the one, 10 s of the other
    assert meter.gpus() == 2


def test_the_same_number_on_two_nodes_is_two_cards():
    meter = Meter()
    for number, name in enumerate(("a/0", "b/0", "a/0")):
        meter.begin(number, 0.3333)
        meter.name(number, name)
    meter.now += 5
    assert meter.held_s() == 10


@pytest.mark.parametrize(
    ("shares", "cards"), [([0.1] * 10, 1), ([0.1] * 11, 2), ([0.3333] * 4, 2), ([1.0] * 3, 3)]
)
def test_before_any_name_is_known_shares_are_rounded_up(shares, cards):
    meter = Meter(planned=7)
    assert meter.gpus() == 7
    for number, share in enumerate(shares):
        meter.begin(number, share)
    meter.now += 2
    assert meter.gpus() == cards
    assert meter.held_s() == 2 * cards


def test_a_training_that_ends_without_a_name_counts_by_its_share():
    meter = Meter()
    meter.begin(0, 0.5)
    meter.now += 4
    meter.end(0)
    assert meter.held_s() == 4
    meter.end(5)  # was refused before it began
    assert meter.held_s() == 4


def test_a_training_without_a_gpu_holds_none():
    meter = Meter()
    meter.begin(0, 0.0)
    meter.begin(1, 0.5)
    meter.name(1)  # its node was lost, and it goes on where there is no GPU
    meter.now += 10
    assert meter.total() == GpuTime()


def test_after_a_loss_the_next_worker_names_its_own_card():
    meter = Meter()
    meter.begin(0, 1.0)
    meter.name(0, "a/0")
    meter.now += 10
    meter.moved(TrainingId(0), 0)
    meter.begin(1, 1.0)
    meter.name(1, "a/0")
    meter.now += 10
    assert meter.held_s() == 30
    meter.name(0, "b/0")
    assert meter.held_s() == 30
    assert meter.gpus() == 2


def test_busy_is_the_share_in_which_epochs_did_not_wait_for_images():
    """Of 100 s of a card, a third for 90 s, 30 of them waiting, and a third for 30 s: 30 s."""
    meter = Meter()
    meter.begin(0, 1 / 3)
    meter.begin(1, 1 / 3)
    meter.now += 100
    meter.train(0, 90, loading_s=30)
    meter.train(1, 30)
    assert meter.total() == GpuTime(held_s=100, busy_s=pytest.approx(30))
    assert meter.total().describe() == "0.03 GPU-hours, 30 % of them busy"


def test_earlier_sessions_count_but_are_not_recorded_again():
    meter = Meter(earlier=GpuTime(held_s=3600, busy_s=1800))
    meter.begin(0, 1.0)
    meter.now += 3600
    meter.closed()
    meter.now += 50
    assert meter.total() == GpuTime(held_s=7200, busy_s=1800)
    assert meter.in_session().to_record() == {"gpu_s": 3600, "gpu_busy_s": 0}


def test_sessions_are_summed_and_older_ones_by_share_and_epochs():
    new = {"ended": "x", "gpu_s": 100.0, "gpu_busy_s": 50.0}
    assert sum_gpu_time([new, new, {"ended": None}], 1e9) == GpuTime(held_s=200, busy_s=100)
    older = sum_gpu_time([{"ended": "x"}, new], 150.0)
    assert older == GpuTime(held_s=150, busy_s=None)
    assert older.plus(GpuTime(held_s=3600, busy_s=9)).describe() == "1.04 GPU-hours"
    assert sum_gpu_time([{"ended": "x"}, new], 70.0).held_s == 100
    assert sum_gpu_time([], 0.0).describe() == ""
