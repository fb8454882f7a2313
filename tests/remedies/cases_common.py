"""Errors of the ground floor: command lines, disks, places elsewhere, records."""

import errno
import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from common.errors import UserError
from common.files import describe_full_disk
from common.remote import UriPlace
from search.session.resume import find_run
from tests.remedies.cases_datasets_archives import while_disk_is
from tests.remedies.harness import Command, Steps, case
from tests.remedies.images import prepare_folder, write_images


@case("common/cli.py::unknown_option", "is not an option")
def a_misspelt_option(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    refusal = yield command.replace("--source", "--sorce")
    return command.replace("--source", refusal.find(r"did you mean (\S+)\?"))


@case("common/cli.py::unknown_option", "is not an option")
def an_option_like_none(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    refusal = yield command.add("--xyzzy")
    return Command("datasets.prepare", refusal.find(r"see (--help)\."))


@case("common/files.py::describe_full_disk", "all that was recorded is kept")
def a_run_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    """A search ends with this sentence; its remedy is tried as far as the run is found."""
    run, full = tmp_path / "my runs" / "first", [errno.ENOSPC]
    monkeypatch.setattr(os, "fsync", while_disk_is(full, lambda _: None))

    def record() -> None:
        try:
            os.fsync(0)
        except OSError as error:
            raise UserError(str(describe_full_disk(error, run))) from error

    refusal = yield record
    assert "free some space there" in refusal.text
    option, name = shlex.split(refusal.find(r"go on with (--resume .*): all"))
    assert option == "--resume"
    assert find_run(Path(name), []) == {"name": "first", "out": str(run.parent)}
    full.clear()


@case("common/remote.py::_file_system", "must be an absolute path or a URI")
def a_uri_of_an_unknown_kind(tmp_path: Path) -> Steps:
    refusal = yield lambda: UriPlace("nothing://bucket/data").names()
    assert refusal.text.endswith("or use s3:// or a shared path.")
    return lambda: UriPlace(str(tmp_path)).names()


@case(
    "common/json_records.py::from_json", "can't be read",
    "results/analysis/final_run.py::read_record", "restore it from a copy",
)  # fmt: skip
def a_record_with_a_wrong_value(tmp_path: Path, trained: Path) -> Steps:
    folder = Path(shutil.copytree(trained, tmp_path / "final"))
    record = json.loads((folder / "final.json").read_text(encoding="utf-8"))
    changed = json.dumps(record | {"test_top1": "high"})
    (folder / "final.json").write_text(changed, encoding="utf-8")
    refusal = yield Command("results.final", folder)
    assert "test_top1='high' is of another kind" in refusal.text
    shutil.copy(trained / "final.json", folder)
