import errno
import io
import os
from dataclasses import replace

import pytest
import yaml
from rich.console import Console

from results.analysis.finalist_comparison import compare_finalists
from results.analysis.session_times import GpuTime
from results.records import FinalistRecord, StopReason, TrainingId, TrialRecord, TrialState
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunStore, read_manifest
from search.config.command_line import resolve
from search.monitoring.leaderboard import finalists_table, front_table, leaderboard
from search.monitoring.monitor import Monitor, describe
from search.monitoring.summary import describe_winner, print_summary, read_result
from search.planning.plan import make_plan
from search.session import finish as finish_module
from search.session.finish import finish
from search.study.proposer import Proposal
from tests.results.example_run import add_finalist, add_trial
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig


def record(number, best, state=TrialState.COMPLETE, **more):
    return TrialRecord(
        number=number, state=state, params={}, config={}, epochs=3,
        best_epoch=2 if best else None, best_val_top1=best, last_val_top1=best, **more,
    )  # fmt: skip


def printed(thing):
    console = Console(file=io.StringIO(), width=120)
    console.print(thing)
    return console.file.getvalue()


def test_the_leaderboard_ranks_and_always_shows_the_baseline():
    trials = {n: record(n, 0.4 + 0.01 * n) for n in range(1, 15)} | {0: record(0, 0.1)}
    text = printed(leaderboard(trials))
    lines = [line.split("│")[1:4] for line in text.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in lines[0]] == ["1", "14", "0.540"]
    assert [cell.strip() for cell in lines[-1]] == ["15", "baseline", "0.100"]
    assert len(lines) == 11


def finalist_records(tables):
    """One a value; `None` has failed, "running" hasn't ended."""
    for trial, values in tables.items():
        for repeat, value in enumerate(values, 1):
            state, top1 = TrialState.COMPLETE, value
            if not isinstance(value, float):
                state, top1 = TrialState(value or "failed"), None
            config = {"epochs": 30, "seed": repeat}
            yield FinalistRecord(
                trial=trial, repeat=repeat, config=config, state=state, val_top1=top1
            )


def outcome_of(tables):
    return compare_finalists(finalist_records(tables))


def test_the_finalists_table_has_means_intervals_and_leads():
    text = printed(finalists_table(outcome_of({4: [0.52, 0.54], 0: [0.50, 0.51], 7: [0.9, None]})))
    assert "Finalists: val_top1 after 30 epochs, 2 fresh seeds, means with 95 %" in text
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    # 12.7062 × 0.014142 / √2 = 0.127 each way, and half of that for leads of 0.02 and 0.03
    assert rows[0] == ["1", "4", "0.530 (0.403 … 0.657)", "+0.025 (-0.039 … +0.089)", "0"]
    assert rows[1][1:4:2] == ["baseline", "–"]
    assert rows[2] == ["3", "7", "–", "–", "1"]


def test_the_finalists_table_fits_a_pipe_where_nothing_went_wrong():
    made = outcome_of({4: [0.52, 0.54], 0: [0.50, 0.51]})
    console = Console(file=io.StringIO(), width=80)
    console.print(finalists_table(made))
    text = console.file.getvalue()
    assert "went wrong" not in text
    assert "0.530 (0.403 … 0.657)" in text
    assert "+0.025 (-0.039 … +0.089)" in text


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({4: [0.53, 0.54, 0.53], 0: [0.50, 0.51, 0.50]}, "it beats the baseline beyond noise, by"),
        ({4: [0.53, 0.54, 0.50], 0: [0.50, 0.51, 0.50]}, "+0.020 (-0.023 … +0.063), is within"),
        ({4: [0.4, 0.4], 0: [0.50, 0.51]}, "Best: the baseline, mean val_top1 0.505"),
        ({4: [0.4, 0.4], 5: [0.50, 0.51]}, "the baseline isn't there to be compared"),
    ],
)
def test_the_verdict_says_whether_noise_explains_the_lead(tables, words):
    outcome = outcome_of(tables)
    assert words in describe_winner(outcome, outcome.winner)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (record(1, 0.4), "complete"),
        (record(1, 0.4, TrialState.RUNNING), "unfinished"),
        (record(1, None, TrialState.FAILED, detail="out of paper"), "failed: out of paper"),
        (
            record(1, 0.4, TrialState.FAILED, reason=StopReason.MEMORY, detail="2 GiB"),
            "failed, memory: 2 GiB",
        ),
        (
            record(1, 0.4, TrialState.STOPPED, reason=StopReason.OVERFITTING, detail="gap 0.4"),
            "stopped, overfitting: gap 0.4",
        ),
    ],
)
def test_every_state_has_its_words(made, words):
    assert describe(made) == words


def test_one_plain_line_an_event(capsys):
    console = Console(file=io.StringIO(), width=40)
    monitor = Monitor(console, trials=4, verbose=False)
    monitor.stage("Ray")
    config = TrialConfig(network="resnet10", epochs=9)
    monitor.began(Proposal(training=TrainingId(0), config=config, baseline=True))
    monitor.epoch(TrainingId(0), metrics(1, 0.5, gap=0.125))
    monitor.epoch(TrainingId(0), metrics(2, 0.4, loss=None))
    monitor.ended(record(0, 0.5))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 4
    assert "baseline  starts (4 in all)" in lines[0]
    assert "epoch  1/9  val_top1 0.500  gap +0.125" in lines[1]
    assert lines[1].endswith("best so far")
    assert "train loss —" in lines[2]
    assert not lines[2].endswith("best so far")
    assert "\x1b" not in console.file.getvalue()


def test_verbose_tells_the_stages_and_the_first_step_once():
    console = Console(file=io.StringIO(), width=200)
    monitor = Monitor(console, trials=4, verbose=True)
    monitor.stage("Ray")
    monitor.first_step(monitor._stage_at + 2.5)
    monitor.first_step(monitor._stage_at + 9.5)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].strip().startswith("Ray: ")
    assert "worker and first batch: 2.5 s" in lines[1]


def cells(table):
    rows = [line.split("│")[1:-1] for line in printed(table).splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row] for row in rows]


def test_the_front_is_told_with_its_costs_and_the_baseline_below():
    made = [(0, 0.5, 20.0), (1, 0.6, 16.0), (2, 0.4, 4.0)]
    trials = {n: record(n, best, latency_ms=ms, parameters_m=4.905) for n, best, ms in made}
    rows = cells(front_table(trials, [trials[1], trials[2]]))
    assert rows == [
        ["1", "0.600", "16", "4.905", "3", "complete"],
        ["2", "0.400", "4", "4.905", "3", "complete"],
        ["baseline", "0.500", "20", "4.905", "3", "complete, not on the front"],
    ]
    alone = cells(front_table({0: trials[0]}, [trials[0]]))
    assert alone == [["baseline", "0.500", "20", "4.905", "3", "complete"]]


def test_a_measured_network_is_one_line(capsys):
    console = Console(file=io.StringIO(), width=40)
    monitor = Monitor(console, trials=4, verbose=False)
    monitor.began(Proposal(training=TrainingId(2), config=TrialConfig(network="resnet10")))
    monitor.measured(record(2, None, latency_ms=3.2, parameters_m=4.905))
    assert console.file.getvalue().endswith("network of 4.905 M parameters, 3.2 ms an image\n")


def test_finalists_are_told_apart_from_trials_and_are_never_the_best_so_far():
    console = Console(file=io.StringIO(), width=200)
    monitor = Monitor(console, trials=4, verbose=False)
    config = TrialConfig(network="resnet10", epochs=9)
    monitor.began(Proposal(training=TrainingId(3, 2), config=config))
    monitor.epoch(TrainingId(3, 2), metrics(1, 0.5))
    done = FinalistRecord(
        trial=3, repeat=2, state=TrialState.COMPLETE, config={}, epochs=9, val_top1=0.5125
    )
    monitor.ended(done)
    first, second, third = console.file.getvalue().splitlines()
    assert first.endswith("trial 3, repeat 2: starts, with a fresh seed")
    assert "trial 3, repeat 2: epoch  1/9  val_top1 0.500" in second
    assert "best so far" not in second
    assert third.endswith("trial 3, repeat 2: complete, val_top1 0.512")


def plan_of_ended_run(tmp_path, *, tables=None, ended=None, **options):
    """The plan of a run of two trials, and of finalists' values where given."""
    values = {"space": "demo", "out": str(tmp_path), "name": "run", "trials": 2, **options}
    plan, errors = make_plan(resolve(values)[0], resuming=True)
    assert not errors
    manifest = {"name": "run", "dataset": {"name": "demo", "fingerprint": "abc"}}
    store = RunStore.create(plan.directory, manifest)
    for number in (0, 1):
        made = record(number, 0.4 + 0.1 * number)
        made = replace(made, config=plan.baseline.to_dict(), params={"lr": 0.1})
        add_trial(store, replace(made, **(ended or {})))
    finalists = SideStore(FINALIST_FILES, plan.directory)
    for made in finalist_records(tables or {}):
        add_finalist(finalists, made)
    finalists.close()
    store.close()
    return plan


def summarised(tmp_path, *, interrupted=False, **run):
    """The exit code, and what is told, of such a run."""
    plan = plan_of_ended_run(tmp_path, **run)
    console = Console(file=io.StringIO(), width=120)
    code = finish(plan, console, interrupted=interrupted)
    return code, console.file.getvalue()


def test_the_summary_prints_and_writes_nothing(tmp_path):
    plan = plan_of_ended_run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in plan.directory.rglob("*")}
    console = Console(file=io.StringIO(), width=120)
    print_summary(plan, read_result(plan), None, console, interrupted=False)
    assert "Best: trial 1, val_top1 0.500" in console.file.getvalue()
    assert {path: path.stat().st_mtime_ns for path in plan.directory.rglob("*")} == before


def test_best_configuration_and_page_are_on_disk_before_anything_is_printed(tmp_path):
    class BrokenTerminal(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    plan = plan_of_ended_run(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        finish(plan, Console(file=BrokenTerminal()), interrupted=False)
    assert (
        yaml.safe_load((plan.directory / "best.yaml").read_text(encoding="utf-8"))["value"] == 0.5
    )
    assert "</html>" in (plan.directory / "report.html").read_text(encoding="utf-8")


def test_the_summary_says_how_to_have_finalists(tmp_path):
    code, text = summarised(tmp_path)
    assert code == 0
    assert "Best: trial 1, val_top1 0.500 after epoch 3 (baseline 0.400)" in text
    assert f"python -m search.run --resume run --out {tmp_path} --finalists 3" in text


def test_the_summary_counts_what_failed(tmp_path):
    ended = {"state": TrialState.FAILED, "detail": "OSError: no disk"}
    code, text = summarised(tmp_path, ended=ended)
    assert code == 1
    assert "2 of 2 trials failed:" in text
    assert "No trial went well: OSError: no disk\n" in text
    assert "tracebacks" not in text  # none was written
    assert "     2  OSError, as trial 0: OSError: no disk" in text


def test_a_best_configuration_that_the_disk_refuses_is_no_success(tmp_path, monkeypatch):
    def full(directory):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(finish_module, "export", full)
    code, text = summarised(tmp_path)
    assert code == 1
    assert "error: best.yaml isn't written: The disk that holds" in text
    assert f"Then: python -m results.export {tmp_path / 'run'}" in text
    assert "trainables.final" not in text


def test_finalists_after_the_budget_is_used_up_need_a_larger_one(tmp_path):
    ended = {"state": TrialState.STOPPED, "reason": StopReason.BUDGET}
    _, text = summarised(tmp_path, ended=ended, time_budget="1h")
    assert f"--resume run --out {tmp_path} --finalists 3 --time-budget …" in text


def test_a_trial_that_the_clock_broke_off_counts_as_unfinished(tmp_path):
    plan = plan_of_ended_run(tmp_path, time_budget="1h")
    store = RunStore(plan.directory)
    store.add_trial(replace(store.trials()[0], state=TrialState.RUNNING))
    store.close()
    console = Console(file=io.StringIO(), width=120)
    assert finish(plan, console, interrupted=False) == 0
    text = console.file.getvalue()
    assert "The budget ended the trials: 2 of 2 began, of which 1 didn't finish." in text
    assert f"--resume run --out {tmp_path} --time-budget …" in text


def test_the_summary_ends_with_the_finalists_choice(tmp_path):
    code, text = summarised(tmp_path, finalists=1, tables={1: [0.40, 0.41], 0: [0.45, 0.46]})
    assert code == 0
    assert "Best: the baseline, mean val_top1 0.455" in text
    assert "no finalist's mean is higher" in text
    assert "--resume" not in text


@pytest.mark.parametrize("tables", [{}, {1: [0.4, "running"], 0: [0.45, 0.46]}])
def test_finalists_that_the_budget_cut_short_are_told(tmp_path, tables):
    code, text = summarised(tmp_path, finalists=1, repeats=2, time_budget="1h", tables=tables)
    assert code == 0
    assert "Best: trial 1, val_top1 0.500" in text
    assert "The budget ended before the finalists did" in text
    assert f"--resume run --out {tmp_path} --time-budget …" in text


def test_an_interrupted_summary_counts_finalists_too(tmp_path):
    tables = {1: [0.4, "running"], 0: [0.45, "running"]}
    code, text = summarised(tmp_path, finalists=1, interrupted=True, tables=tables)
    assert code == 130
    assert "0 of them unfinished, and 2 of 4 finalists' trainings. Go on with:" in text


def test_the_time_of_gpus_is_that_of_all_sessions(tmp_path):
    plan = plan_of_ended_run(tmp_path)
    held = {"ended": "2026-01-01T00:00:00+00:00", "gpu_s": 3600.0, "gpu_busy_s": 900.0}
    store = RunStore(plan.directory)
    store.write_manifest(read_manifest(plan.directory) | {"sessions": [held, held]})
    store.close()
    result = read_result(plan)
    console = Console(file=io.StringIO(), width=200)
    print_summary(plan, result, None, console, interrupted=False)
    assert "\nIt took 2.00 GPU-hours, 25 % of them busy.\n" in console.file.getvalue()
    print_summary(plan, replace(result, gpu_time=GpuTime()), None, console, interrupted=False)
    assert console.file.getvalue().count("It took") == 1


def test_a_search_that_ended_by_its_gain_blames_no_budget(tmp_path):
    gain = {"ended": 12, "unit": "core-hour", "hour": 0.0006, "hour_upper": 0.0019}
    _, text = summarised(tmp_path, ended={"gain": gain}, time_budget="1h", trials=8, min_gain=0.002)
    assert "Expected gain: another core-hour 0.06 points (90 %: ≤ 0.19).\n" in text
    assert "The budget ended" not in text


def test_a_budget_is_blamed_while_the_gain_is_large(tmp_path):
    gain = {"ended": 12, "unit": "core-hour", "hour": 0.01, "hour_upper": 0.03}
    _, text = summarised(tmp_path, ended={"gain": gain}, time_budget="1h", trials=8, min_gain=0.002)
    assert "The budget ended the trials: 2 of 8 began" in text
