"""Errors about recorded curves, on which searches are simulated."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from results.analysis.curve_table import read_table, write_table
from results.store import RunStore
from search.preflight import ROOT
from tests.remedies.harness import Command, Steps, case

CURVES = "search/simulation/recorded_curves.py"


def simulate(curves: Path) -> Command:
    words = ("--policy", "random", "--budget", 1, "--seeds", 1, "--grace", 1)
    return Command("search.simulate", curves, *words)


def write_curves(path: Path, **without: None) -> Path:
    """Writes curves of eight configurations, without some arrays."""
    rows = np.linspace(0.1, 0.9, 8)[:, None]
    whole = {"configs": rows, "names": ["lr"], "val_accuracy": 100 * rows.repeat(2, 1)}
    np.savez(path, **{k: v for k, v in whole.items() if k not in without})  # type: ignore[arg-type]
    return path


@case(f"{CURVES}::_curves", "for the format")
def curves_without_names(tmp_path: Path) -> Steps:
    path = write_curves(tmp_path / "task.npz", names=None)
    refusal = yield simulate(path)
    name = refusal.find(r"but has no (\w+);")
    described = ROOT / refusal.find(r"see (\S+) for the format")
    assert f"`{name}`" in described.read_text(encoding="utf-8")
    write_curves(path)


@case(f"{CURVES}::read_curves_file", "copy it again")
def curves_that_are_cut_short(tmp_path: Path) -> Steps:
    path = write_curves(tmp_path / "task.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    yield simulate(path)
    path.write_bytes(whole)


@case(f"{CURVES}::read_run_curves", "name another run")
def a_run_without_epochs(tmp_path: Path, searched: Path) -> Steps:
    RunStore.create(tmp_path / "empty", {"name": "empty", "options": {}}).close()
    yield simulate(tmp_path / "empty")
    return simulate(searched)


@case(f"{CURVES}::_recorded", "record some with")
def a_table_without_full_trainings(tmp_path: Path) -> Steps:
    path, whole = tmp_path / "demo.npz", read_table(ROOT / "results/published/curves/demo.npz")
    short = [each for each in whole.trainings if each["fidelity"] != "full"]
    write_table(path, replace(whole, trainings=short))
    refusal = yield simulate(path)
    assert find_spec(refusal.command().module)
    write_table(path, whole)  # in place of the recorder, which trains


SIMULATE = "search/simulate.py::_faults"


@case(SIMULATE, "budget must", SIMULATE, "seeds must", SIMULATE, "workers must")
def a_simulation_of_nothing(tmp_path: Path) -> Steps:
    only = ("search.simulate", write_curves(tmp_path / "task.npz"), "--policy", "random")
    refusal = yield Command(*only, "--budget", 0, "--seeds", 0, "--workers", 0)
    least = [refusal.find(rf"--{name} must be ≥ (\d)") for name in ("seeds", "workers")]
    assert "--budget must be > 0" in refusal.text
    return Command(*only, "--budget", 1, "--seeds", least[0], "--workers", least[1])


@case("search/simulate.py::main", "needs recorded short trainings")
def curves_without_short_trainings(tmp_path: Path) -> Steps:
    command = simulate(write_curves(tmp_path / "task.npz")).add("--fidelity", "screening")
    refusal = yield command
    table = ROOT / refusal.find(r"name a table of (\S+)/\.") / "efficientnet_lite0.npz"
    command.replace(tmp_path / "task.npz", table)()
    return command.without("--fidelity")


@case("results/curves.py::_read", "name a file such as")
def a_file_that_is_no_table(tmp_path: Path) -> Steps:
    (tmp_path / "notes.npz").write_text("no table", encoding="utf-8")
    refusal = yield Command("results.curves", tmp_path / "notes.npz")
    return Command("results.curves", ROOT / refusal.find(r"such as (\S+)\."))
