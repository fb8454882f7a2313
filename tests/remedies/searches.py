"""Makes commands and runs of searches with which cases begin. No trial is trained for them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from search.preflight import ROOT
from tests.remedies.harness import Attempt, Command, Refusal
from tests.search.session_on_curves import opened, planned, search


def plan_search(tmp_path: Path, *more: object, space: object = "demo") -> Command:
    """Returns the command that shows the plan of a new search, with its runs in `tmp_path`."""
    places = ("--data", tmp_path / "data", "--out", tmp_path)
    return Command("search.run", "--space", space, "--dry-run", *places, *more)


def resume(run: Path, *more: object) -> Command:
    """Returns the command that shows how a run would go on."""
    return Command("search.run", "--resume", run, "--dry-run", *more)


@pytest.fixture(scope="module")
def searched(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six trials on made curves. Copy it with `copy_run`, don't write there."""
    plan = planned(tmp_path_factory.mktemp("searched"), tiny_data, {}, name="first", trials=6)
    search(plan)
    return plan.directory


def copy_run(searched: Path, tmp_path: Path, name: str = "first") -> Path:
    """Copies a run into `tmp_path` and returns its folder."""
    return Path(shutil.copytree(searched, tmp_path / name))


def open_again(run: Path, data: Path) -> Attempt:
    """Returns an attempt that opens a session of a run, as a search does after Ray has started."""

    def attempt() -> None:
        changes = {"out": str(run.parent)}
        opened(planned(run.parent, data, changes, name=run.name, trials=6)).close()

    return attempt


def write_space(path: Path, prior: str = "{}", **ranges: str) -> Path:
    """Writes a space that suggests each field by the method and the arguments in `ranges`, such
    as `lr='float("lr", 1e-3, 1e-2)'`, and has the `prior`; returns its path.
    """
    values = "".join(f"        {name!r}: trial.suggest_{how},\n" for name, how in ranges.items())
    path.write_text(
        "from search.space import Prior, Space\nfrom trainables.config import TrialConfig\n\n"
        f"def suggest(trial):\n    return {{\n{values}    }}\n\n"
        f"SPACE = Space(summary='mine', dataset='demo', suggest=suggest, prior={prior},\n"
        "              baseline=TrialConfig(network='resnet10', lr=2e-3, epochs=9))\n",
        encoding="utf-8",
    )
    return path


def check_setup(refusal: Refusal) -> None:
    """Checks that each `make` that a text advises would run something; runs nothing of it."""
    for command in set(re.findall(r"`(make [^`]*)`", refusal.text)):
        subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)
