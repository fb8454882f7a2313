"""Errors about runs that go on or are learned from, and about their journals and copies."""

import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from datasets.splits import SearchData
from results.records import NetworkCosts
from results.store import read_manifest
from search.monitoring.monitor import Monitor
from search.planning.plan import Plan
from search.session import execute
from search.session.checks import prepare_images
from search.study.prior_trials import EVIDENCE, read_prior_trials
from tests.remedies.harness import Attempt, Steps, case
from tests.remedies.images import prepare_folder, write_images
from tests.remedies.searches import copy_run, plan_search, resume, write_space
from tests.search.session_on_curves import opened, planned, play

GOES_ON = "search/planning/continuation.py"


@case(f"{GOES_ON}::lengthen", "leave it out, or start a new run")
def fewer_epochs_than_before(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    refusal = yield resume(run, "--epochs", 4)
    resume(run, "--epochs", refusal.find(r"must be ≥ (\d+) when"))()
    return resume(run)


@case(f"{GOES_ON}::raise_trials", "raise it, or leave it out")
def too_few_trials_for_more_epochs(tmp_path: Path, searched: Path) -> Steps:
    command = resume(copy_run(searched, tmp_path), "--epochs", 18)
    refusal = yield command.add("--trials", 7)
    command()  # without --trials
    return command.add("--trials", refusal.find(r"must be ≥ (\d+) to train"))


@case(f"{GOES_ON}::planned_horizons", "compare trials of one length")
def more_epochs_for_several_objectives(tmp_path: Path, tiny_data: Path) -> Steps:
    space = write_space(tmp_path / "mine.py", head_width='categorical("head_width", [0, 64])')
    options = {"space": str(space), "objectives": "val_top1,latency_ms"}
    plan = planned(tmp_path, tiny_data, options, name="run", trials=3)
    session = opened(plan)
    play(session.study, 12, costs=lambda config: NetworkCosts(latency_ms=3.0, parameters_m=4.0))
    session.close()
    refusal = yield resume(plan.directory, "--epochs", 18)
    resume(plan.directory, "--epochs", refusal.find(r"must be (\d+) when"))()
    return resume(plan.directory)


RESUME = "search/session/resume.py::saved_options"


@case(RESUME, "can't change when a run goes on")
def another_seed_of_a_run(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    yield resume(run, "--seed", 5)
    plan_search(tmp_path, "--seed", 5)()  # a new run
    return resume(run)


@case(RESUME, "must be given again")
def a_secret_that_was_not_recorded(tmp_path: Path, tiny_data: Path) -> Steps:
    address = "https://me:verysecret@example.org"
    plan = planned(tmp_path, tiny_data, {"mlflow": address}, name="run", trials=3)
    opened(plan).close()
    refusal = yield resume(plan.directory)
    assert "verysecret" not in refusal.text
    return resume(plan.directory, refusal.find(r"(--\w+) must be given again"), address)


FOREIGN = "search/session/foreign_runs.py::find_foreign_faults"


def receive_run(searched: Path, tmp_path: Path) -> Path:
    """Returns a copy of a run whose manifest this user hasn't signed."""
    run = copy_run(searched, tmp_path, "their run")
    path = run / "manifest.json"
    text = re.sub(r'"(sha256|mac)": "\w{64}",\s*', "", path.read_text(encoding="utf-8"), count=2)
    path.write_text(text, encoding="utf-8")
    return run


@case(f"{FOREIGN.partition('::')[0]}::check_options", "must hold options as a search writes them")
def a_run_from_elsewhere_without_options(tmp_path: Path, searched: Path) -> Steps:
    run = receive_run(searched, tmp_path)
    path = run / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["options"]["set"] = [1, {}]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    refusal = yield resume(run)
    assert "restore it from a copy" in refusal.text
    shutil.copy(searched / "manifest.json", run)


@case(FOREIGN, "is used before you name it too")
def a_run_from_elsewhere(tmp_path: Path, searched: Path) -> Steps:
    refusal = yield resume(receive_run(searched, tmp_path))
    return refusal.command()


@case(FOREIGN, "must hold no links out of its folder")
def a_run_from_elsewhere_with_a_link(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = receive_run(searched, tmp_path)
    (run / "errors").symlink_to(tmp_path)
    refusal = yield resume(run, "--data", tiny_data.parent)
    Path(refusal.find(r"but (.*) is one; remove")).unlink()


@case("search/session/backup.py::restore_run", "resume on the machine that began the run")
def a_damaged_copy_in_the_storage(tmp_path: Path, searched: Path) -> Steps:
    storage = tmp_path / "storage"
    (storage / "first").mkdir(parents=True)
    (storage / "first" / "run.tar").write_bytes(b"no archive" * 100)
    elsewhere = tmp_path / "elsewhere" / "first"
    command = resume(elsewhere, "--storage", storage)
    yield command
    return command.replace(elsewhere, copy_run(searched, tmp_path))  # its own machine


@case("search/planning/warm_start.py::read_earlier_run", "has none; leave it out")
def an_earlier_run_without_an_epoch(tmp_path: Path, tiny_data: Path) -> Steps:
    plan = planned(tmp_path, tiny_data, {}, name="run", trials=3)
    opened(plan).close()
    command = plan_search(tmp_path, "--warm-start", plan.directory)
    refusal = yield command
    return command.without(refusal.find(r"(--warm-\w+) needs"))


def change_byte(path: Path, at: int, to: bytes = b"?") -> bytes:
    """Changes one byte of a file, and returns the content of before."""
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + to + whole[at + 1 :])
    return whole


@case("search/study/prior_trials.py::read_prior_trials", "must hold what a warm-started run")
def a_damaged_line_of_evidence(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    learns = {"warm_start": [str(copy_run(searched, tmp_path))]}
    plan = planned(tmp_path, tiny_data, learns, name="second", trials=3)
    opened(plan).close()
    whole = change_byte(plan.directory / EVIDENCE, 60)
    refusal = yield lambda: read_prior_trials(plan.directory)
    assert "line 2 is damaged, or not where it was written)" in refusal.text
    assert f"restore {plan.directory} from a copy of it" in refusal.text
    (plan.directory / EVIDENCE).write_bytes(whole)


IMAGES = "search/session/checks.py::check_images"


def find_data(plan: Plan, saved: dict[str, Any] | None = None) -> Attempt:
    """Returns an attempt that prepares the data of a search, which comes before Ray."""

    def attempt() -> SearchData:
        return prepare_images(plan, saved)

    return attempt


@case(IMAGES, "name the right folder with --data", IMAGES, "SearchError(errors)")
def other_images_than_before(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    prepare_folder(write_images(tmp_path / "src"), tmp_path)()
    (tmp_path / "data" / "folder").rename(tmp_path / "data" / tiny_data.name)
    saved = read_manifest(run)

    def plan(data: Path) -> Plan:
        changes = {"out": str(tmp_path), "data": str(data)}
        return planned(tmp_path, tiny_data, changes, name="first", trials=6)

    yield find_data(plan(tmp_path / "data"), saved)
    return find_data(plan(tiny_data.parent), saved)


@case(IMAGES, "lower it with --set batch_size=N")
def a_batch_of_more_images_than_there_are(tmp_path: Path, tiny_data: Path) -> Steps:
    def plan(size: str) -> Plan:
        return planned(tmp_path, tiny_data, {"set": [size]}, name="run", trials=3)

    refusal = yield find_data(plan("batch_size=4096"))
    (_, field), most = refusal.options("--set"), refusal.find(r"≤ the (\d+) training")
    return find_data(plan(field.replace("N", most)))


REFUSED = "search/session/execute.py"


def begin_while(
    code: int, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Attempt, Attempt]:
    """Returns an attempt to begin a run while the disk gives an error, and another one that gets
    as far as Ray when it gives none any more.
    """
    plan = planned(tmp_path, data, {}, name="run", trials=3)

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(plan.data))

    def attempt() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(execute, "prepare_images", fail)
            monitor = Monitor(Console(highlight=False), plan.options.trials, quiet=True)
            execute.execute(plan, monitor, resuming=False)

    return attempt, find_data(plan)


@case(f"{REFUSED}::execute", "SearchError",
      "common/files.py::describe_full_disk", "then run the same command again")  # fmt: skip
def a_new_run_on_a_full_disk(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    attempt, again = begin_while(errno.ENOSPC, tmp_path, tiny_data, monkeypatch)
    refusal = yield attempt
    assert refusal.text.endswith("free some space there, then run the same command again.")
    return again


@case(f"{REFUSED}::execute", "SearchError", "search/session/checks.py::why_refused", "can't begin")
def a_new_run_on_a_disk_with_a_fault(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    attempt, again = begin_while(errno.EIO, tmp_path, tiny_data, monkeypatch)
    refusal = yield attempt
    assert "mend that, then run the same command again" in refusal.text
    return again
