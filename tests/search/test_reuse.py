"""A process that trains fifty trials, one after another, holds no more at the end than early on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Trials differ as a search's do; every second one is stopped after an epoch, as by a rung.
# Prints resident memory in MiB, threads and open files after each trial.
SCRIPT = """
import json, sys
from pathlib import Path
import psutil
from results.records import TrainingId
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.task import Placement, Task
from search.ray_backend.worker import train_epochs
from trainables.training import checkpoint_writer
from trainables.config import TrialConfig

data, scratch = Path(sys.argv[1]), Path(sys.argv[2])
checkpoint_writer.SAVE_EVERY_S = 0.0
process = psutil.Process()
for number in range(50):
    config = TrialConfig(
        network="resnet10", image_size=32, batch_size=(8, 16, 24)[number % 3], epochs=3,
        optimizer=("adamw", "sgd")[number % 2], freeze_depth=number % 6, dropout=0.1, flip=True,
        mixup_alpha=0.2, cutout=0.25, precision=("float32", "bfloat16")[number % 2], seed=number,
    )
    checkpoint = scratch / f"{number}.pt"
    task = Task(
        training=TrainingId(number), config=config, epochs_done=0, data=data,
        checkpoint=checkpoint, node_files=NodeFiles(), placement=Placement(threads=1),
    )
    trial = train_epochs(task)
    for metrics in trial:
        if metrics.epoch == 2 + number % 2:
            break
    checkpoint.unlink(missing_ok=True)
    trial.close()
    memory = process.memory_info().rss / 2**20
    print(json.dumps([memory, process.num_threads(), process.num_fds()]), flush=True)
"""


@pytest.mark.slow
def test_fifty_trials_leave_memory_threads_and_files_as_they_were(
    tmp_path: Path, tiny_data: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_data), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=500,
        check=True,
    )
    memory, threads, files = zip(*map(json.loads, done.stdout.splitlines()), strict=True)
    assert len(memory) == 50
    assert max(memory[-10:]) <= 1.05 * max(memory[:10]), memory
    # Not equal: the system may still count a thread that has just been joined.
    assert max(threads[-10:]) <= max(threads[:10]), threads
    assert max(files[-10:]) <= max(files[:10]), files
    assert list(tmp_path.iterdir()) == []
