import json
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.manifest import read_manifest
from results.store import RunStore
from search.run import main

ROOT = Path(__file__).parents[2]


def test_a_dry_run_shows_the_plan_and_starts_neither_torch_nor_ray(tmp_path):
    code = (
        "import sys; from search.run import main\n"
        "code = main(['--space', 'demo', '--dry-run', '--trials', '7',"
        f" '--out', {str(tmp_path)!r}])\n"
        "assert not {'torch', 'ray', 'ffcv'} & set(sys.modules)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    for part in ("trials   7, the baseline first", "rungs    3, 9", "at once", "cost", "log",
                 "label_smoothing", "trial 4"):  # fmt: skip
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_all_mistakes_come_back_together(tmp_path, capsys):
    code = main(["--space", "dem", "--trials", "0", "--sed", "1", "--out", str(tmp_path)])
    lines = capsys.readouterr().err.splitlines()
    assert code == 2
    assert len(lines) == 3
    assert all(line.startswith("error: ") for line in lines)
    assert "did you mean demo" in lines[2]


def test_no_space_is_a_mistake(capsys):
    assert main(["--dry-run"]) == 2
    assert "--space must be given" in capsys.readouterr().err


def test_a_yaml_file_gives_options_and_the_command_line_wins(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(
        "space: demo\ntrials: 9\ntime-budget: 1h\nset: {lr: 2e-3}\n", encoding="utf-8"
    )
    assert main(["--config", str(tmp_path / "run.yaml"), "--trials", "3", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "trials   3" in out
    assert "0.002" in out
    (tmp_path / "bad.yaml").write_text("space: demo\ntrails: 9\n", encoding="utf-8")
    assert main(["--config", str(tmp_path / "bad.yaml")]) == 2
    assert "trails is not an option; did you mean trials?" in capsys.readouterr().err
    assert main(["--config", str(tmp_path / "none.yaml")]) == 2
    assert "can't be read" in capsys.readouterr().err


def test_resume_keeps_what_decides_results(tmp_path, capsys):
    saved = {"space": "demo", "trials": 4, "seed": 5, "set": ["lr=0.002"]}
    RunStore.create(tmp_path / "old", {"name": "old", "options": saved}).close()
    # The data folder isn't ./data, where a search may have prepared the demo.
    out = ["--out", str(tmp_path), "--data", str(tmp_path / "data")]
    assert main(["--resume", "old", "--seed", "6", *out]) == 2
    assert "--seed can't change when a run goes on (it was 5)" in capsys.readouterr().err
    assert main(["--resume", "old", "--trials", "9", "--seed", "5", "--dry-run", *out]) == 0
    assert "trials   9" in capsys.readouterr().out
    assert main(["--resume", "older", *out]) == 2
    assert "is not a run" in capsys.readouterr().err


@pytest.mark.usefixtures("one_torch_process")
def test_resume_keeps_the_objectives_of_runs_old_and_new(tmp_path, capsys):
    out = ["--out", str(tmp_path), "--data", str(tmp_path / "data")]
    saved = {"space": "resnet50", "trials": 4}
    both = "val_top1,latency_ms"
    RunStore.create(tmp_path / "old", {"name": "old", "options": saved}).close()
    RunStore.create(
        tmp_path / "new", {"name": "new", "options": saved | {"objectives": both}}
    ).close()
    assert main(["--resume", "old", "--objectives", both, *out]) == 2
    assert "--objectives can't change when a run goes on (it was 'val_top1')" in (
        capsys.readouterr().err
    )
    assert main(["--resume", "new", "--objectives", "val_top1", *out]) == 2
    assert f"(it was '{both}')" in capsys.readouterr().err
    assert main(["--resume", "new", "--dry-run", *out]) == 0
    compared = "by non-dominated rank in val_top1 (maximize), latency_ms (minimize)"
    assert f"compared {compared}" in capsys.readouterr().out


def test_an_objective_that_every_trial_shares_is_refused(tmp_path, capsys):
    asked = ["--objectives", "val_top1,latency_ms", "--out", str(tmp_path)]
    assert main(["--space", "demo", *asked]) == 2
    assert "needs networks that differ, but demo searches none of" in capsys.readouterr().err


def test_a_port_in_use_is_refused_before_ray_starts(tmp_path, capsys):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code = main(["--space", "demo", "--dashboard-port", port, "--out", str(tmp_path)])
    assert code == 2
    assert f"{port} is in use" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("one_torch_process")
def test_an_unreachable_pretrained_file_is_refused_before_ray_starts(tmp_path, capsys, tiny_data):
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"not a state dict")
    code = main(
        ["--space", "resnet50", "--data", str(tiny_data.parent), "--weights", str(weights),
         "--set", "batch_size=16", "--out", str(tmp_path / "runs")]
    )  # fmt: skip
    assert code == 2
    assert str(weights) in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_batch_larger_than_the_data_is_refused(tmp_path, capsys, tiny_data):
    code = main(
        ["--space", "demo", "--dataset", "tiny-imagenet", "--data", str(tiny_data.parent),
         "--set", "batch_size=500", "--out", str(tmp_path)]
    )  # fmt: skip
    assert code == 2
    assert "batch_size must be ≤ the 72 training images" in capsys.readouterr().err


def test_resuming_on_other_images_is_refused(tmp_path, capsys, tiny_data):
    saved = {"space": "demo", "dataset": "tiny-imagenet", "data": str(tiny_data.parent)}
    manifest = {
        "name": "old",
        "options": saved | {"set": ["batch_size=16"]},
        "dataset": {"name": "tiny-imagenet", "fingerprint": "other"},
        "precision": "float32",
        "preview": [],
        "sessions": [],
    }
    RunStore.create(tmp_path / "old", manifest).close()
    assert main(["--resume", "old", "--out", str(tmp_path)]) == 2
    assert "must go on with the dataset it began with" in capsys.readouterr().err
    assert (
        json.loads((tmp_path / "old" / "manifest.json").read_text(encoding="utf-8"))["sessions"]
        == []
    )


def test_resuming_a_space_that_has_changed_is_refused(tmp_path, capsys, tiny_data):
    fingerprint = read_manifest(tiny_data).fingerprint
    saved = {"space": "demo", "dataset": "tiny-imagenet", "data": str(tiny_data.parent)}
    manifest = {
        "name": "old",
        "options": saved | {"set": ["batch_size=16"]},
        "dataset": {"name": "tiny-imagenet", "fingerprint": fingerprint},
        "precision": "float32",
        "preview": [{"network": "resnet18"}],
        "sessions": [],
    }
    RunStore.create(tmp_path / "old", manifest).close()
    assert main(["--resume", "old", "--out", str(tmp_path)]) == 2
    assert "must go on with the space it began with" in capsys.readouterr().err
