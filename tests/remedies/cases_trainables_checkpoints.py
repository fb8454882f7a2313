"""Errors about checkpoints that a training goes on from."""

from pathlib import Path
from typing import Any

import torch

from tests.remedies.harness import Refusal, Steps, case
from tests.trainables.training.test_checkpoint import CONFIG as TRAINED
from tests.trainables.training.test_checkpoint import read, write
from trainables.training.checkpoint import read_history

CHECKPOINT = "trainables/training/checkpoint.py"


@case(f"{CHECKPOINT}::_read", "must be a file")
def a_checkpoint_that_is_gone(tmp_path: Path) -> Steps:
    write(tmp_path / "right.pt")
    refusal = yield lambda: read_history(tmp_path / "rihgt.pt")
    assert refusal.text.endswith("or give its path.")
    return lambda: read_history(tmp_path / "right.pt")


DAMAGED = (f"{CHECKPOINT}::_damage_error", "delete it to start over")


def start_over(refusal: Refusal) -> Any:
    """Deletes the checkpoint; returns an attempt to begin a training that writes one anew."""
    path = Path(refusal.find(r"but (\S+) (?:is damaged|comes from others)"))
    path.unlink()

    def attempt() -> None:
        write(path)
        read(path)

    return attempt


@case(f"{CHECKPOINT}::_read", "_damage_error(path)", *DAMAGED)
def a_checkpoint_that_is_cut_short(tmp_path: Path) -> Steps:
    write(tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:1000])
    return start_over((yield lambda: read(tmp_path / "a.pt")))


@case(f"{CHECKPOINT}::_read", "_damage_error(path) #2", *DAMAGED)
def a_checkpoint_of_something_else(tmp_path: Path) -> Steps:
    torch.save({"epoch": 3}, tmp_path / "a.pt")
    return start_over((yield lambda: read(tmp_path / "a.pt")))


@case(
    f"{CHECKPOINT}::_history", "_damage_error(path)", *DAMAGED,
)  # fmt: skip
def a_checkpoint_with_a_damaged_history(tmp_path: Path) -> Steps:
    write(tmp_path / "a.pt")
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save(content | {"history": [{"epoch": "one"}]}, tmp_path / "a.pt")
    return start_over((yield lambda: read_history(tmp_path / "a.pt")))


@case(f"{CHECKPOINT}::_partial", "_damage_error(path)", *DAMAGED)
def a_checkpoint_with_a_damaged_part_of_an_epoch(tmp_path: Path) -> Steps:
    write(tmp_path / "a.pt")
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save(content | {"partial": {"step": 3}}, tmp_path / "a.pt")
    return start_over((yield lambda: read_history(tmp_path / "a.pt")))


@case(f"{CHECKPOINT}::load", "comes from others")
def a_checkpoint_of_another_training(tmp_path: Path) -> Steps:
    write(tmp_path / "a.pt", TRAINED.but(lr=0.5))
    return start_over((yield lambda: read(tmp_path / "a.pt")))


@case(f"{CHECKPOINT}::load", "comes from others")
def a_checkpoint_whose_configuration_is_known(tmp_path: Path) -> Steps:
    write(tmp_path / "a.pt", TRAINED.but(lr=0.5))
    refusal = yield lambda: read(tmp_path / "a.pt")
    assert "use those again" in refusal.text
    return lambda: read(tmp_path / "a.pt", TRAINED.but(lr=0.5))
