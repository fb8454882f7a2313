"""Records trainings of a space as tables of learning curves: `record_curves demo --hours 3`.

Random configurations of the space, half as a search draws its first ones and half uniform, each
trained for as many epochs as the space's baseline and recorded after every epoch: accuracy and
loss on val and on clean training images, of the weights that a search evaluates and of a running
average beside them, with wall-clock and processor time. Each configuration is trained at cheaper
fidelities too: shorter schedules, a quarter of the images, half the image size, and these
combined; and from each rung a short branch cools the learning rate down. One row in ten has three
seeds.

The lines go to `--out` as soon as a training is over. Called again with the same options it goes
on with what neither that file nor the published table holds; Ctrl-C and SIGTERM lose only the
trainings that run. `python -m results.published.make_curves` makes the tables of the lines.

On images of one's own choice, as for the published tables:

    python -m tests.benchmarks.record_curves demo --rows 150
    python -m tests.benchmarks.record_curves mini_alexnet --rows 80 --source ZIP --images 100
    python -m tests.benchmarks.record_curves efficientnet_lite0 --rows 40 --source ZIP \\
        --images 50 --at-most image_size=128 --fix views=0
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from types import FrameType
from typing import IO, Any

import psutil
from optuna.distributions import distribution_to_json

from datasets.access import open_search_data
from datasets.prepare import prepare
from datasets.splits import SearchData
from results.analysis.curve_table import Recording, read_recording, read_table
from results.jsonl import cut_torn_line
from search.hardware.machine import detect_machine
from search.session.provenance import provenance
from search.space import Space, SpaceError
from search.spaces import find_space
from tests.benchmarks import measure
from tests.benchmarks.measure import BenchmarkError
from tests.benchmarks.recorded_rows import FIDELITIES, Row, Task, rows
from tests.benchmarks.workload import DATASET, Size, Workload
from trainables.conditional_fields import CONDITIONAL
from trainables.config import TrialConfig

RECORDINGS = measure.ROOT / "build" / "curves"
TABLES = measure.ROOT / "results" / "published" / "curves"


def benchmark(arguments: list[str] | None = None) -> None:
    """Records what is missing, until `--rows` or `--hours`."""
    options = _options(arguments)
    space = _space(options.space)
    out = options.out or RECORDINGS / f"{options.space}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = _images(options, space, out.with_suffix(""))
    data = open_search_data(folder)
    at_most = dict(options.at_most)
    fixed = {"epochs": options.epochs or space.baseline.epochs} | dict(options.fix)
    earlier = known(out, options.table)
    header = _opened(out, options, space, fixed, data, earlier)
    fixed["precision"] = header["precision"]
    planned = list(islice(rows(space, fixed, at_most), options.rows))
    done = earlier.keys()
    tasks = [task for task in tasks_of(planned) if task.key not in done]
    print(f"{options.space}: {len(tasks)} trainings of {len(planned)} rows to record", flush=True)
    _record(tasks, folder, out, options)


def tasks_of(planned: Iterable[Row]) -> Iterator[Task]:
    """Every training of the rows, row by row: a table is usable at any number of rows."""
    for row in planned:
        for seed in row.seeds:
            for fidelity in FIDELITIES:
                yield Task(row=row, seed=seed, fidelity=fidelity)


def known(out: Path, table: Path | None) -> Recording:
    """What the lines in `out` and the published table hold already."""
    lines = read_recording(out)
    return lines.merged(read_table(table)) if table and table.exists() else lines


def _open_for_append(path: Path) -> IO[str]:
    """Opens a JSON-lines file for appending, after cutting off an incomplete last line."""
    cut_torn_line(path)
    return path.open("a", encoding="utf-8")


def _record(tasks: list[Task], folder: Path, out: Path, options: argparse.Namespace) -> None:
    """Trains in `--processes` processes of one thread each; one training is one line."""
    ends = time.monotonic() + 3600 * options.hours if options.hours else float("inf")
    waiting, running = iter(tasks), dict[Future[dict[str, Any]], Task]()
    with (
        _open_for_append(out) as file,
        ProcessPoolExecutor(options.processes, get_context("spawn"), _prepare) as pool,
    ):
        _end_with_signals()
        count = 0
        while True:
            while len(running) < options.processes and time.monotonic() < ends:
                task = next(waiting, None)
                if task is None:
                    break
                running[pool.submit(_recorded, task, folder)] = task
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                line = future.result()
                file.write(json.dumps(line, allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
                count += 1
                last = line["curves"]["val_top1"][-1]
                print(f"{count}/{len(tasks)} row {task.row.number} seed {task.seed} "
                      f"{task.fidelity.name}: val {last:.3f}, {line['total_cpu_s']:.0f} s",
                      flush=True)  # fmt: skip


def _end_with_signals() -> None:
    """Ends this process and those that train at once: what they train is lost, no line is."""

    def end(number: int, _frame: FrameType | None) -> None:
        for process in psutil.Process().children(recursive=True):
            process.kill()
        os._exit(128 + number)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)


def _prepare() -> None:
    from trainables.training.process import prepare_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_process(1)


def _recorded(task: Task, folder: Path) -> dict[str, Any]:
    from tests.benchmarks.recorded_training import record

    row = task.row
    return {"origin": row.origin, "params": dict(row.params)} | record(task, _data(folder))


@lru_cache(maxsize=1)
def _data(folder: Path) -> SearchData:
    return open_search_data(folder)


def _opened(
    out: Path,
    options: argparse.Namespace,
    space: Space,
    fixed: dict[str, Any],
    data: SearchData,
    earlier: Recording,
) -> dict[str, Any]:
    """Notes where and on what this recording goes on, and returns that note.

    Raises `BenchmarkError` where what is recorded already is of another table.
    """
    first = earlier.headers[0] if earlier.headers else None
    precision = first["precision"] if first else _precision(space, fixed)
    header = {
        "recording": options.space,
        "precision": precision,
        "ranges": _ranges(space, fixed, dict(options.at_most)),
        "baseline": space.baseline.but(**fixed, precision=precision).to_dict(),
        "conditions": {name: list(CONDITIONAL[name]) for name in _searched(space, fixed)},
        "dataset": space.dataset,
        "fingerprint": data.images.fingerprint,
        "train_images": len(data.train),
        "val_images": len(data.val),
        "num_classes": len(data.images.class_ids),
    }
    header = json.loads(json.dumps(header))
    changed = [name for name in header if first and _as_now(first).get(name) != header[name]]
    if changed:
        raise BenchmarkError(
            "A recording must go on with the trainings it began with, but this one differs in "
            f"{', '.join(changed)}; give the same options, or another --out."
        )
    header["processes"] = options.processes
    with _open_for_append(out) as file:
        file.write(json.dumps(header | provenance(detect_machine(), _command())) + "\n")
    return header


def _as_now(header: dict[str, Any]) -> dict[str, Any]:
    """The note with the fields that configurations have got since, at their defaults."""
    return header | {"baseline": TrialConfig.from_record(header["baseline"]).to_dict()}


def _ranges(space: Space, fixed: Mapping[str, Any], at_most: Mapping[str, float]) -> dict[str, str]:
    """Each parameter's distribution as JSON, conditional ones included."""
    found: dict[str, str] = {}
    for row in islice(rows(space, fixed, at_most), 50):
        found |= {name: distribution_to_json(each) for name, each in row.distributions.items()}
    return dict(sorted(found.items()))


def _searched(space: Space, fixed: Mapping[str, Any]) -> list[str]:
    """The conditional parameters of the space whose owner is searched too."""
    found = {name for row in islice(rows(space, fixed, {}), 50) for name in row.params}
    return sorted(name for name, (owner, _) in CONDITIONAL.items() if {name, owner} <= found)


def _precision(space: Space, fixed: Mapping[str, Any]) -> str:
    """What a search with one thread a trial would measure here."""
    from trainables.profiling.precision import resolve

    config: TrialConfig = space.baseline.but(**fixed)
    return resolve(config, 1).precision


def _images(options: argparse.Namespace, space: Space, folder: Path) -> Path:
    """The prepared images; made in `folder`, once."""
    if options.source is None and options.images is None:
        if space.dataset != "demo":
            raise BenchmarkError(f"{options.space} needs images; name them with --source ZIP.")
        prepare("demo", data=folder)
        return folder / "demo"
    made = folder / "data" / DATASET
    if not (made / "manifest.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        Workload(options.source, folder, Size(classes=None, images=options.images or sys.maxsize))
    return made


def _space(name: str) -> Space:
    try:
        return find_space(name)
    except SpaceError as error:
        raise BenchmarkError(str(error)) from error


def _command() -> list[str]:
    words = [Path(word).name if os.sep in word else word for word in sys.argv[1:]]
    return ["python", "-m", "tests.benchmarks.record_curves", *words]


def _number(word: str) -> tuple[str, float]:
    name, _, value = word.partition("=")
    return name, float(value)


def _value(word: str) -> tuple[str, Any]:
    name, _, value = word.partition("=")
    return name, json.loads(value)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.record_curves",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("space", metavar="SPACE", help="a space by name, or a .py file")
    made.add_argument("--rows", type=int, default=150, metavar="N", help="default: 150")
    made.add_argument("--hours", type=float, default=0.0, metavar="H",
                      help="begin no training after H hours (default: no limit)")  # fmt: skip
    made.add_argument("--processes", type=int, default=measure.CORES, metavar="N",
                      help=f"trainings at once (default: {measure.CORES})")  # fmt: skip
    made.add_argument("--source", type=Path, metavar="ZIP",
                      help="images in Tiny ImageNet's layout (demo needs none)")  # fmt: skip
    made.add_argument("--images", type=int, metavar="N",
                      help="the first N training and test images of each class")  # fmt: skip
    made.add_argument("--at-most", type=_number, nargs="+", default=[], metavar="NAME=VALUE",
                      help="the highest values that are drawn, as image_size=128")  # fmt: skip
    made.add_argument("--fix", type=_value, nargs="+", default=[], metavar="NAME=VALUE",
                      help="fields that are the same in all rows")  # fmt: skip
    made.add_argument("--epochs", type=int, metavar="N",
                      help="of a full training (default: the baseline's)")  # fmt: skip
    made.add_argument("--out", type=Path, metavar="FILE",
                      help="where the lines go (default: build/curves/SPACE.jsonl)")  # fmt: skip
    made.add_argument("--table", type=Path, metavar="FILE",
                      help="a table whose trainings are there already (default: "
                      "results/published/curves/SPACE.npz)")  # fmt: skip
    options = made.parse_args(arguments)
    for name, least in (("rows", 1), ("processes", 1), ("hours", 0)):
        if getattr(options, name) < least:
            made.error(f"--{name} must be ≥ {least}, but got {getattr(options, name)}.")
    if options.table is None and options.out is None:
        options.table = TABLES / f"{options.space}.npz"
    return options


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
