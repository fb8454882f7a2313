"""The race: who has the better configuration after the same time on the same machine?

Searches of one space with the same wall-clock limit and both cores, from command to handing over,
in fresh clones with empty caches:
  - `documented`: what Ray Tune's documentation leads to (race_documented.py), of this commit;
  - `before`: `search.run` at commit 1ba3fe8;
  - `ours`: `search.run` at this commit;
  - `screening`: the same with `--fidelity screening`.
At 5, 10, 15, 25, 50 and 100 % of the time the configuration that would be handed over is noted.
Afterwards each distinct one is trained to its end with three fresh seeds, by one and the same loop:
the mean accuracy of its last epoch is the quality that was held, on images that no search has seen
where the source has some left. One seed of all sides, one after the other, is a unit; each search's
line is on disk as soon as it is over, and the benchmark goes on with what is missing. `documented`
and `before` are reused while machine and versions are equal. Without a side, what is there is
judged. The page is made by `python -m results.published.make_race`.

    python -m tests.benchmarks.bench_race demo --minutes 10 --seeds 0 1 2 3 4
    python -m tests.benchmarks.bench_race efficientnet_lite0 --minutes 40 --seeds 0 1 \\
        --source ZIP --images 100
    python -m tests.benchmarks.bench_race mini_alexnet --minutes 40 --seeds 0 1 \\
        --source ZIP --images 100
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from results.jsonl import read_lines
from search.hardware.machine import detect_machine
from search.session.provenance import provenance
from search.space import SpaceError
from search.spaces import find_space
from tests.benchmarks import measure, race_judge, race_loop, race_sides
from tests.benchmarks.measure import BenchmarkError
from tests.benchmarks.race_sides import BEFORE, DOCUMENTED, OURS, SCREENED, SHARES, Race
from tests.benchmarks.workload import Size, Workload

SIDES = (DOCUMENTED, BEFORE, OURS, SCREENED)
SAME = ("machine", "versions")
"""What must be equal for a search of an unchanged side to be used again."""

LOOP_STEPS = 40


def benchmark(arguments: list[str] | None = None) -> None:
    options = _options(arguments)
    out: Path = options.out
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        space = find_space(options.space)
    except SpaceError as error:
        raise BenchmarkError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="race-") as made:
        size = Size(classes=None, images=options.images or sys.maxsize)
        workload = Workload(options.source, Path(made), size)
        race = Race(
            space_name=options.space,
            space=space,
            workload=workload,
            source=options.source,
            seconds=60 * options.minutes,
            epochs=options.epochs or space.baseline.epochs,
        )
        circumstances = provenance(detect_machine(), measure.command("race"))
        if options.remark:
            circumstances["remark"] = options.remark
        about = {"space": options.space, "minutes": options.minutes, "epochs": race.epochs,
                 "images": options.images, "shares": list(SHARES)}  # fmt: skip
        loop = _loop(race, out, about, circumstances)
        for seed in options.seeds:
            for side in options.sides:
                _search(race, side, seed, loop, out, about, circumstances)
        _judge(race, out, about)


def _search(
    race: Race,
    side: str,
    seed: int,
    loop: dict[str, int],
    out: Path,
    about: dict[str, Any],
    circumstances: dict[str, Any],
) -> None:
    """One side's search, unless it is there already."""
    key = about | {"side": side, "seed": seed}
    if any(reusable(line, key, circumstances) for line in read_lines(out)):
        print(f"{side}, seed {seed}: is there", flush=True)
        return
    print(f"{side}, seed {seed}: {race.seconds:g} s …", flush=True)
    with tempfile.TemporaryDirectory(prefix="race-side-") as made:
        folder = Path(made)
        if side == DOCUMENTED:
            found = race_sides.documented(race, seed, folder, loop)
        else:
            found = race_sides.ours(race, seed, folder, side)
        shutil.rmtree(folder, ignore_errors=True)
    _append(out, key | found | circumstances)
    print(f"  {found['trials']} trials, {found['epochs_trained']} epochs", flush=True)


def reusable(line: dict[str, Any], key: dict[str, Any], circumstances: dict[str, Any]) -> bool:
    """Whether a line is of the search that `key` names; for ours the commit must be the same."""
    same = (*SAME, "commit") if key["side"] in (OURS, SCREENED) else SAME
    return all(line.get(name) == value for name, value in key.items()) and all(
        line.get(name) == circumstances[name] for name in same
    )


def _loop(
    race: Race, out: Path, about: dict[str, Any], circumstances: dict[str, Any]
) -> dict[str, int]:
    """The fastest settings of the documented pattern's loop; measured once.

    Raises `BenchmarkError` where even those make it an unfair rival.
    """
    for line in read_lines(out):
        known = "loop" in line and line["space"] == about["space"]
        if known and all(line[name] == circumstances[name] for name in SAME):
            return dict(line["loop"])
    print("the documented pattern's loop against a bare one …", flush=True)
    config = race.space.baseline.but(epochs=race.epochs).to_dict()
    found = race_loop.compare(config, str(race.workload.folders()), LOOP_STEPS)
    _append(out, about | found | circumstances)
    print(f"  {found['loop']}: {found['ratio']:.2f} of the bare loop", flush=True)
    if not found["fair"]:
        raise BenchmarkError(
            f"The documented pattern's loop must reach {race_loop.FAIR} of a bare loop's speed, "
            f"but reaches {found['ratio']:.2f}; make it faster before it races."
        )
    return dict(found["loop"])


def _judge(race: Race, out: Path, about: dict[str, Any]) -> None:
    lines = [line for line in read_lines(out) if line.get("space") == about["space"]]
    handed = [c for line in lines for c in line.get("handed_over", ()) if c is not None]
    judged = [line for line in read_lines(out) if line.get("judged")]
    unseen = race.workload.unseen(race_judge.UNSEEN)
    todo = race_judge.missing(handed, judged, unseen is not None)
    if not todo:
        return
    from trainables.profiling.precision import resolve

    earlier = [line["precision"] for line in judged
               if line["config"]["network"] == race.space.baseline.network]  # fmt: skip
    precision = earlier[0] if earlier else resolve(race.space.baseline, 1).precision
    race_judge.judge(todo, precision, race.workload.directory, unseen, out)


def _append(out: Path, line: dict[str, Any]) -> None:
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.bench_race",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("space", metavar="SPACE", help="a space by name")
    made.add_argument("--minutes", type=float, default=10.0, metavar="M",
                      help="of each search (default: 10)")  # fmt: skip
    made.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N",
                      help="of the searches (default: 0)")  # fmt: skip
    made.add_argument("--sides", nargs="*", choices=SIDES, default=list(SIDES), metavar="SIDE",
                      help=f"of {', '.join(SIDES)} (default: all)")  # fmt: skip
    made.add_argument("--source", type=Path, metavar="ZIP",
                      help="images in Tiny ImageNet's layout (default: the demo's)")  # fmt: skip
    made.add_argument("--images", type=int, metavar="N",
                      help="the first N training and test images of each class")  # fmt: skip
    made.add_argument("--epochs", type=int, metavar="N",
                      help="of a full training (default: the baseline's)")  # fmt: skip
    made.add_argument("--remark", metavar="TEXT",
                      help="what else the machine did meanwhile, for the page")  # fmt: skip
    made.add_argument("--out", type=Path, default=measure.PUBLISHED / "race.jsonl",
                      metavar="FILE", help="default: race.jsonl among the published")  # fmt: skip
    options = made.parse_args(arguments)
    if options.minutes <= 0:
        made.error(f"--minutes must be > 0, but got {options.minutes:g}.")
    if options.source is not None and not options.source.exists():
        made.error(f"--source must exist, but {options.source} doesn't; check the path.")
    return options


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
