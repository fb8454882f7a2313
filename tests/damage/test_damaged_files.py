"""Every file that is read, damaged in many ways: one sentence that names it, or a correct read."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from safetensors.torch import save_file

from common.errors import RecordError
from datasets.archives.tar import TarTree
from datasets.archives.tree import open_tree
from datasets.sources.cifar_pickle import load
from datasets.spec import DatasetError
from results.analysis.run_records import read_run_records
from results.analysis.rung_values import read_fitting_proposals
from results.export import export
from results.predictions import read_predictions
from results.records import FinalistRecord, TrainingId, TrialState
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunError, RunStore, read_epochs, read_manifest, read_trials
from search.config.command_line import read_yaml, resolve
from search.config.options import OptionsError
from search.simulation.recorded_curves import CurvesError, read_curves_file
from search.study.optuna_journal import journal_seal
from search.study.prior_trials import PriorTrial, read_prior_trials, write_prior_trials
from tests.benchmarks.drawn import draw
from tests.damage.mutating import Mutate, mutations
from tests.datasets.sources.cifar_archive import make_cifar100_archive
from tests.results.analysis.test_error_analysis import SEVEN
from tests.results.example_final import make_final
from tests.search.session_on_curves import play
from tests.search.study_on_curves import metrics, open_study
from trainables.config import ConfigError, TrialConfig
from trainables.final_model.best_config import BestError, read_best
from trainables.final_model.description import Description, ModelError
from trainables.final_model.saved_model import read_model

FEW, MANY = 25, 1000


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of file: `make` writes one and names it, `read` gives something to compare.

    prefixes: reading less of it is right too, as of a file that a killed writer left. parts: so are
    some of its items, where a damaged name hides one. silent: it has no checksum, so what is read
    may differ, but nothing may go wrong.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...]
    prefixes: bool = False
    parts: bool = False
    silent: bool = False


def run(folder: Path) -> Path:
    """A small finished run."""
    directory = folder / "run"
    study = open_study(directory, trials=4)
    play(study)
    study.store.write_manifest(  # type: ignore[attr-defined]
        {"name": "run", "options": {"lr": 0.1}, "dataset": {"name": "demo", "fingerprint": "f"}}
    )
    study.store.close()  # type: ignore[attr-defined]
    finalists = SideStore(FINALIST_FILES, directory)
    record = FinalistRecord(
        trial=0, repeat=1, state=TrialState.RUNNING, config={"seed": 7, "epochs": 2}
    )
    finalists.add(record)
    for epoch in (1, 2):
        finalists.add_epoch(TrainingId(0, 1), metrics(epoch, 0.25 * epoch))
    finalists.add(replace(record, state=TrialState.COMPLETE, epochs=2, val_top1=0.5))
    finalists.close()
    write_prior_trials(
        directory,
        [
            PriorTrial(origin="A", params={"lr": 0.25 * n}, values={1: 0.5, 2: 0.75}, epochs=9)
            for n in range(3)
        ],
    )
    export(directory)
    return directory


def of_run(name: str) -> Callable[[Path], Path]:
    return lambda folder: run(folder) / name


def make_options(folder: Path) -> Path:
    path = folder / "run.yaml"
    path.write_text(
        "space: demo\ntrials: 9\ntime-budget: 1h\nset: {lr: 2.0e-3}\nwarm-start: [a]\n",
        encoding="utf-8",
    )
    return path


def read_options(path: Path) -> object:
    return resolve(read_yaml(path))


def make_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("train/a/1.jpg", "train/b/2.jpg"):
            archive.writestr(name, bytes(range(200)) * 3)
    return folder / "x.zip"


def make_tar(folder: Path) -> Path:
    with tarfile.open(folder / "x.tar.gz", "w:gz") as archive:
        for name in ("c/train", "c/meta"):
            member = tarfile.TarInfo(name)
            member.size = 600
            archive.addfile(member, io.BytesIO(bytes(range(200)) * 3))
    return folder / "x.tar.gz"


def read_tree(path: Path) -> object:
    tree = TarTree(path) if path.name.endswith(".gz") else open_tree(path)
    return [(name, tree.read(name)) for name in tree.files()]


def make_pickle(folder: Path) -> Path:
    archive = make_cifar100_archive(folder / "x.tar.gz", 2, 5)
    (folder / "train").write_bytes(TarTree(archive).read("cifar-100-python/train"))
    return folder / "train"


def read_pickle(path: Path) -> object:
    try:
        return sorted(map(str, load(path.read_bytes())))
    except ValueError as error:  # who calls names the file
        raise DatasetError(f"{path}: {error}") from error


def read_curves(path: Path) -> object:
    curves = read_curves_file(path)
    return curves.val.tolist(), curves.points.tolist()


def read_journal(path: Path) -> object:
    run = read_run_records(path.parent)
    found = read_fitting_proposals(path.parent, run.manifest, run.trials)
    return [(n, t.params, t.intermediate_values) for n, t in found.items()]


def read_known_keys(path: Path) -> object:
    """Without the checksum's own key, where damage has made another of it."""
    found = read_manifest(path.parent)
    return {key: found.get(key) for key in ("name", "options", "dataset", "schema_version")}


def read_chosen(path: Path) -> object:
    best = read_best(path)
    return replace(best, selection={k: v for k, v in best.selection.items() if k in SELECTION})


SELECTION = ("dataset", "metric", "value", "epoch", "trial", "selected_by", "baseline")


def make_journal(folder: Path) -> Path:
    directory = run(folder)
    store = RunStore(directory)
    store.write_manifest({"name": "run", "journal": journal_seal(directory)})
    store.close()
    return directory / "journal.log"


def read_seen(path: Path) -> object:
    found = read_predictions(path.parent)
    return [(name, array.tolist()) for name, array in found.arrays().items()]


def make_safetensors(folder: Path) -> Path:
    described = Description(
        config=TrialConfig(network="resnet10").to_dict(), class_ids=("a", "b"),
        class_names=("a", "b"), stored_px=64, mean=(0.5,) * 3, std=(0.5,) * 3, test_top1=0.5,
        fingerprint="f", terms="none",
    )  # fmt: skip
    state = {"weight": torch.arange(200.0)}
    save_file(state, folder / "model.safetensors", metadata={"model": described.to_json()})
    return folder / "model.safetensors"


def read_safetensors(path: Path) -> object:
    found = read_model(path)
    return found.description, {name: tensor.tolist() for name, tensor in found.state.items()}


READ_RUN = (RecordError, RunError)
FORMATS = {
    "epochs.jsonl": Format(
        make=of_run("epochs.jsonl"), read=lambda p: list(read_epochs(p.parent)),
        errors=READ_RUN, prefixes=True,
    ),
    "trials.jsonl": Format(
        make=of_run("trials.jsonl"), read=lambda p: read_trials(p.parent),
        errors=READ_RUN, prefixes=True,
    ),
    "finalists.jsonl": Format(
        make=of_run("finalists.jsonl"), read=lambda p: FINALIST_FILES.read(p.parent),
        errors=READ_RUN, prefixes=True,
    ),
    "finalist-epochs.jsonl": Format(
        make=of_run("finalist-epochs.jsonl"),
        read=lambda p: list(FINALIST_FILES.read_epochs(p.parent)),
        errors=READ_RUN, prefixes=True,
    ),
    "manifest.json": Format(
        make=of_run("manifest.json"), read=read_known_keys, errors=READ_RUN,
    ),
    "evidence.jsonl": Format(
        make=of_run("evidence.jsonl"), read=lambda p: read_prior_trials(p.parent),
        errors=READ_RUN,
    ),
    "journal.log": Format(make=make_journal, read=read_journal, errors=READ_RUN),
    "journal.log of a killed search": Format(
        make=of_run("journal.log"), read=read_journal, errors=READ_RUN, silent=True,
    ),
    "best.yaml": Format(
        make=of_run("best.yaml"), read=read_chosen, errors=(BestError, ConfigError),
    ),
    "run.yaml": Format(
        make=make_options, read=read_options, errors=(OptionsError,), silent=True,
    ),
    "curves.npz": Format(
        make=lambda folder: small_curves(folder), read=read_curves, errors=(CurvesError,),
    ),
    "predictions.npz": Format(
        make=lambda folder: make_final(folder / "final", SEVEN) / "predictions.npz",
        read=read_seen, errors=(RecordError,),
    ),
    "model.safetensors": Format(
        make=make_safetensors, read=read_safetensors, errors=(ModelError,), silent=True,
    ),
    "x.zip": Format(make=make_zip, read=read_tree, errors=(DatasetError,), parts=True),
    "x.tar.gz": Format(make=make_tar, read=read_tree, errors=(DatasetError,)),
    "CIFAR's pickle": Format(
        make=make_pickle, read=read_pickle, errors=(DatasetError,), silent=True,
    ),
}  # fmt: skip


def small_curves(folder: Path) -> Path:
    """The first rows of drawn ones: a file of a few kB."""
    with np.load(draw(folder / "drawn", 0)) as file:
        rows = {n: file[n] if n == "names" else file[n][:12] for n in file.files}
    np.savez_compressed(folder / "curves.npz", **rows)
    return folder / "curves.npz"


def damage(each: Format, path: Path, examples: int) -> None:
    """Damages the file in so many ways, and reads it each time."""
    whole = path.read_bytes()
    truth = each.read(path)
    right = [truth, *(prefixes(each, path, whole) if each.prefixes else [])]

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(mutate=mutations(len(whole)))
    def check(mutate: Mutate) -> None:
        path.write_bytes(mutate(whole))
        try:
            found = each.read(path)
        except each.errors as error:
            for said in getattr(error, "errors", [str(error)]):
                assert "\n" not in said
                assert path.name in said
        else:
            assert each.silent or found in right or (each.parts and set(found) <= set(truth))

    check()


def prefixes(each: Format, path: Path, whole: bytes) -> Sequence[Any]:
    """What is read of a file that ends after each of its lines."""
    found = []
    for end in [i for i, byte in enumerate(whole) if byte == 10]:
        path.write_bytes(whole[:end])
        found.append(each.read(path))
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_few_damages(name: str, tmp_path: Path) -> None:
    damage(FORMATS[name], FORMATS[name].make(tmp_path), FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_thousand_damages(name: str, tmp_path: Path) -> None:
    damage(FORMATS[name], FORMATS[name].make(tmp_path), MANY)
