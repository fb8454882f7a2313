"""The screen of a running search, drawn from made events at a clock of its own."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from common.text import format_clock
from results.records import FinalistRecord, StopReason, TrainingId, TrialRecord, TrialState
from search.hardware.training_speed import TrainingSpeed
from search.monitoring.limits import Limits
from search.monitoring.progress import Progress
from search.monitoring.screen import draw_screen, sparkline
from search.study.budget import GpuMeter
from search.study.proposer import Proposal
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig

CONFIG = TrialConfig(network="resnet10", epochs=9)


class Search:
    """Events of a made search; `now` is its clock."""

    def __init__(self, speed=None, **limits):
        self.now = 100.0
        given = {"trials": 24, "trial_epochs": 4.0, "full_epochs": 9, "title": "first"} | limits
        self.meter = GpuMeter(clock=lambda: self.now)
        self.progress = Progress(Limits(**given), lambda: self.now, speed, self.meter)

    def train(self, number, *values, repeat=None, gap=0.0, gpus=None, config=CONFIG):
        proposal = Proposal(training=TrainingId(number, repeat), config=config)
        self.progress.started(proposal, gpus)
        self.meter.began(proposal, self.progress.trainings[proposal.training].gpus)
        for epoch, value in enumerate(values, 1):
            made = metrics(epoch, value or 0.0, gap=gap)
            if value is None:
                made = replace(made, val_top1=None, gap=None)
            self.progress.epoch(TrainingId(number, repeat), made)
            self.meter.epoch(TrainingId(number, repeat), made, new=True)

    def end(self, number, state=TrialState.COMPLETE, reason=None, params=None):
        self.progress.ended(ended(number, state, reason, params))
        self.meter.ended(ended(number))

    def lines(self, width=80, height=24, **console):
        sheet = Console(file=io.StringIO(), width=width, height=height, **console)
        sheet.print(draw_screen(self.progress, width, height - 1))
        self.text = sheet.file.getvalue()
        return [line.rstrip() for line in self.text.splitlines()]


def ended(number, state=TrialState.COMPLETE, reason=None, params=None):
    return TrialRecord(
        number=number, state=state, params=params or {}, config={"epochs": 9}, reason=reason
    )


def line_of(lines, start):
    found = [line for line in lines if line.strip().startswith(start)]
    assert len(found) == 1, (start, lines)
    return found[0]


def test_a_curve_is_drawn_between_the_lowest_and_the_highest():
    assert sparkline([0.0, 0.25, 0.5, 1.0], 0.0, 1.0, 10) == "▁▃▅█"
    assert sparkline([0.5, None, float("nan"), 0.1], 0.1, 0.5, 10) == "█··▁"
    assert sparkline([0.3, 0.3], 0.3, 0.3, 10) == "██"
    assert sparkline([n / 100 for n in range(1, 101)], 0.0, 1.0, 4) == "▃▅▇█"
    assert sparkline([], 0.0, 1.0, 4) == ""


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0:00"), (61.9, "1:01"), (3600, "1:00:00"), (90061, "1 d 1:01:01")],
)
def test_time_is_told_as_a_clock_does(seconds, told):
    assert format_clock(seconds) == told


def test_nothing_has_begun():
    lines = Search().lines()
    assert lines[0] == "── first  0:00 " + 65 * "─"
    assert line_of(lines, "trials").endswith("─  0 of 24")
    assert "0 of about 96" in line_of(lines, "epochs")
    assert line_of(lines, "running 0")
    assert line_of(lines, "no trial has ended yet")
    assert not [line for line in lines if line.startswith("best")]


def test_a_search_at_its_middle_is_told_in_numbers():
    search = Search(trials=10, at_once=2, time_s=100.0, used_s=20.0, gpu_hours=1.0, gpus=0.5)
    search.train(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.58, 0.59)
    search.end(0)
    search.train(1, 0.1, 0.15, 0.2)
    search.end(1, TrialState.STOPPED, StopReason.RUNG)
    search.train(2, 0.2, 0.3, 0.45)
    search.end(2, TrialState.STOPPED, StopReason.OVERFITTING)
    search.train(3)
    search.end(3, TrialState.FAILED, StopReason.MEMORY)
    search.train(4, 0.1, 0.35, 0.6, gap=0.031)
    search.now += 30  # in which trial 4 alone holds a GPU, for half of which it has a slot
    lines = search.lines()
    progress = search.progress
    # 4 ended trials had 9, 3, 3 and 0 epochs; three more count as the plan says: 27 / 7 of each.
    mean = (3 * 4 + 15) / 7
    assert progress.epochs_left() == pytest.approx(5 * mean + 1)
    left = (5 * mean + 1) * 1.5 / 2
    assert progress.time_left_s() == pytest.approx(left)
    assert lines[0].strip("─ ") == f"first  0:30, about 0:{int(left)} left"
    assert line_of(lines, "trials").endswith("4 of 10")
    assert line_of(lines, "trials").count("━") == int(0.4 * 43)
    assert line_of(lines, "epochs").endswith(f"18 of about {18 + 5 * mean + 1:.0f}")
    assert line_of(lines, "time").endswith("0:50 of 1:40")
    assert line_of(lines, "GPU-hours").endswith("0.01 of 1")
    assert progress.gpu_time().held_s == 30
    running = line_of(lines, "trial 4  ")
    assert re.split(" +", running) == ["trial", "4", "3/9", "0.600", "+0.031", "▁▄█"]
    best = lines[lines.index(next(line for line in lines if line.startswith("best"))) + 1 :][:4]
    assert [re.split("  +", line.strip()) for line in best] == [
        ["1", "trial 4", "3", "0.600", "running"],
        ["2", "baseline ◂", "9", "0.590", "complete"],
        ["3", "trial 2", "3", "0.450", "overfitting"],
        ["4", "trial 1", "3", "0.200", "rung"],
    ]
    assert "complete 1; stopped 2 (overfitting 1, rung 1); failed 1 (memory 1)" in lines
    assert lines[-1] == f"100 images/s, 0.01 GPU-hours, {50 * 18 * 1.5 / 30:.0f} % of them busy"


def test_the_baseline_is_marked_where_it_isn_t_among_the_best():
    search = Search()
    for number in range(9):
        search.train(number, 0.1 * (number + 1))
        search.end(number)
    lines = search.lines()
    assert line_of(lines, "9  baseline ◂").split()[-3:] == ["1", "0.100", "complete"]
    assert not [line for line in lines if "trial 3" in line]


def test_failed_and_diverged_trials_and_lost_values_are_no_results():
    search = Search()
    search.train(0, None, None)
    search.train(1, 0.9)
    search.end(1, TrialState.STOPPED, StopReason.DIVERGED)
    search.train(2, 0.8)
    search.end(2, TrialState.FAILED)
    lines = search.lines()
    assert search.progress.leader() is None
    assert search.progress.gaps() == []
    assert line_of(lines, "baseline").split() == ["baseline", "2/9", "–", "–", "··"]
    assert "stopped 1 (diverged 1); failed 1" in lines


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 12), (20, 6), (80, 3)])
def test_nothing_overflows_and_what_is_cut_is_counted(width, height):
    search = Search(trials=200, at_once=40, time_s=1e6, gpu_hours=9.0, gpus=1.0, finalists=9)
    for number in range(60):
        search.train(number, *[0.001 * number + 0.01 * epoch for epoch in range(9)], gap=-0.1)
        if number < 20:
            search.end(number, TrialState.STOPPED, StopReason.OVERFITTING)
    lines = search.lines(width, height)
    assert len(lines) <= height - 1
    assert max(map(len, lines)) <= width
    shown = len([line for line in lines if re.match(r"trial \d+ +9/9", line)])
    if width >= 80 and height >= 24:
        assert shown >= 1
        assert line_of(lines, f"… and {40 - shown} more")
        assert line_of(lines, "60  baseline ◂").endswith("0.080  overfitting")
        assert line_of(lines, "time").endswith("0:00 of 11 d 13:46:40")


def test_colours_and_none_of_them_say_the_same():
    search = Search()
    search.train(0, 0.5)
    coloured = search.lines(force_terminal=True, color_system="truecolor")
    assert "\x1b[" in search.text
    plain = search.lines(force_terminal=True, color_system="truecolor", no_color=True)
    assert not re.search(r"\x1b\[(?:3|4|9)\dm", search.text)
    bare = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in coloured]
    assert bare == [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in plain]


def test_what_earlier_sittings_did_is_counted():
    search = Search(trials=4, finalists=2, at_once=1)
    made = {0: [metrics(e, 0.1 * e) for e in range(1, 10)], 1: [metrics(1, 0.2)], 2: []}
    records = {0: ended(0), 1: ended(1, TrialState.RUNNING), 2: ended(2, TrialState.FAILED)}
    repeat = FinalistRecord(trial=0, repeat=1, state=TrialState.COMPLETE, config={"epochs": 9})
    history = [(record, made[number]) for number, record in records.items()]
    search.progress.recall([*history, (repeat, made[0])])
    lines = search.lines()
    assert line_of(lines, "trials").endswith("2 of 4")
    assert "19 of about" in line_of(lines, "epochs")
    assert line_of(lines, "finalists").endswith("1 of 2")
    assert line_of(lines, "running 0")
    assert line_of(lines, "2  trial 1").endswith("unfinished")
    assert search.progress.leader().last_val_top1 == pytest.approx(0.9)
    # The epoch that a worker repeats from its checkpoint doesn't count again.
    search.progress.started(Proposal(training=TrainingId(1), config=CONFIG, epochs_done=1))
    assert not search.progress.epoch(TrainingId(1), metrics(1, 0.2))
    assert search.progress.epoch(TrainingId(1), metrics(2, 0.3))
    assert "20 of about" in line_of(search.lines(), "epochs")


def test_time_left_is_what_the_budget_leaves():
    search = Search(trials=1000, time_s=60.0, used_s=10.0)
    assert search.progress.time_left_s() is None
    search.train(0, 0.1)
    search.now += 20
    assert search.progress.time_left_s() == pytest.approx(30.0)
    search.now += 100
    assert search.progress.time_left_s() == 0.0
    shared = Search(trials=1000, gpu_hours=3.5 / 3600, gpus=0.5, at_once=3)
    shared.train(0, 0.1)
    shared.now += 0.75
    assert shared.progress.time_left_s() == pytest.approx(2.75)
    shared.train(1, 0.1)
    shared.train(2, 0.1)  # on a second GPU
    assert shared.progress.time_left_s() == pytest.approx(2.75 / 2)


def test_before_the_first_epoch_the_time_left_is_the_planned_one_by_size():
    """An epoch at 64 px takes 10 s, and one at 128 px four times as long."""
    images = 2700  # 2,900 with what is evaluated
    speed = TrainingSpeed(images, [], (CONFIG, 290.0))
    search = Search(speed, trials=10, epoch_s=25.0, at_once=2)
    assert search.progress.time_left_s() == pytest.approx(10 * 4 * 25 / 2)
    search.train(0, config=CONFIG)  # the baseline: nine epochs
    search.train(1, config=CONFIG.but(image_size=128))
    left = 8 * 4 * 25 + 9 * 10 + 4 * 40
    assert search.progress.time_left_s() == pytest.approx(left / 2)
    speed.learn(
        CONFIG, 0.0, replace(metrics(1, 0.5), wall_s=20.0)
    )  # another session's, and half as fast
    assert search.progress.time_left_s() == pytest.approx((left + 9 * 10 + 4 * 40) / 2)


def test_the_screen_names_what_the_time_left_goes_by_until_an_epoch_is_trained():
    search = Search(trials=10, epoch_s=25.0, epoch_source="measured on this machine", at_once=2)
    search.now += 3
    head = "── first  0:03, about 8:20 left (measured on this machine) "
    assert search.lines()[0].startswith(head)
    search.train(0, 0.5)
    assert "left ──" in search.lines()[0]


def test_each_training_counts_with_its_own_epochs():
    search = Search(trials=3, at_once=1)
    search.train(0, 0.5)
    search.progress.trainings[TrainingId(0)].seconds = 100.0
    search.train(1, 0.5)
    search.train(2)  # nothing is known of its size: the mean of both, 50.75 s
    left = 8 * 100.0 + 3 * 1.5 + 4 * 50.75
    assert search.progress.time_left_s() == pytest.approx(left)


def test_rates_are_those_of_what_runs():
    search = Search()
    search.train(0, 0.5, gap=0.1)
    search.train(1, 0.5, 0.6, gap=0.3)
    search.train(2)
    assert search.progress.images_per_s() == 300
    assert search.progress.epochs_per_s() == pytest.approx(3 / 1.5)
    assert search.progress.gaps() == [pytest.approx(0.1), pytest.approx(0.3)]
    search.end(1)
    assert search.progress.images_per_s() == 200


def test_the_rungs_rank_correlation_stands_on_the_screen_once_trials_have_passed_them():
    search = Search(rungs=(3,), trials=30)
    for number in range(8):
        assert not any(each.trials == 8 for each in search.progress.rungs)
        search.train(number, *[0.1 + number / 100] * 9)
        search.end(number)
        if number == 6:
            line = line_of(search.lines(), "rungs' rank correlation")
            assert line == "rungs' rank correlation: 3→9 not known yet"
    line = line_of(search.lines(), "rungs' rank correlation")
    assert re.fullmatch(r".*: 3→9 \+1\.00 \(\+\d\.\d\d … \+1\.00\)", line)
    plain = Search(trials=30)  # of several objectives, whose rungs compare more than val_top1
    plain.train(0, *[0.1] * 9)
    plain.end(0)
    assert "rank" not in "".join(plain.lines())


def test_the_expected_gain_has_a_line_and_its_end_leaves_no_trials_to_begin():
    search = Search(trials=24, min_gain=0.002)
    assert line_of(search.lines(), "expected gain: not known before 10 trials have ended")
    for number, upper in ((0, 0.03), (1, 0.0019)):
        search.train(number, 0.5)
        gain = {"ended": 10 + number, "unit": "core-hour", "hour": 0.001, "hour_upper": upper}
        search.progress.ended(replace(ended(number), gain=gain))
        assert (search.progress.epochs_left() > 0) is (number == 0)
    line = line_of(search.lines(), "expected gain")
    assert line == "expected gain: another core-hour 0.10 points (90 %: ≤ 0.19)"


def test_an_expected_gain_that_ten_ends_did_not_give_is_not_known_yet():
    one, several = Search(trials=24), Search(trials=24, objectives=2)
    for search in (one, several):
        for number in range(10):
            search.train(number, 0.5)
            search.end(number)
    assert line_of(one.lines(), "expected gain") == "expected gain: not known yet"
    assert "gain" not in "".join(several.lines())
