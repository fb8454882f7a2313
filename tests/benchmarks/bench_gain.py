"""How often a search that ends by `--min-gain` would have gained more than it said.

Simulated searches on recorded curves, with 8 workers, go on for 63 full trainings. Their traces are
written once, into `--traces`. At each end of a trial, every estimator says what another hour would
gain; a search ends at the first estimate that lies below a threshold together with its upper end,
and the trace has what the next hour gained. How long an hour is, in full trainings, is for the
reader of the page to know: it is 1, 3 or 10 here. The page is made by
`python -m results.published.make_gain`.

What was evaluated is on disk at once, and a benchmark that was interrupted goes on.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_text_atomically
from results.analysis.rung_values import quiet_optuna
from results.jsonl import read_lines
from results.records import StopReason, TrialState
from search.config.options import SearchOptions
from search.hardware.machine import detect_machine
from search.samplers import expected_gain
from search.samplers.encoding import Vector
from search.samplers.expected_gain import Gain, estimate_gains
from search.samplers.gaussian_process import GaussianProcess, Observations
from search.samplers.gp_sampler import expected_improvement
from search.samplers.learning_curves import ObservedTrial, after_shares, expected_ends
from search.session.provenance import provenance
from search.simulation.policies import gaussian_process_asha
from search.simulation.recorded_curves import Curves, read_curves
from search.simulation.simulator import RegretScale, make_simulated_rules, simulate
from tests.benchmarks import measure
from tests.benchmarks.drawn import add_curves, parse_curves

BUDGET, BEYOND = 60, 3
"""In full trainings: what a search may take, and how far its trace goes on behind that."""

WORKERS = 8
HOURS = (1, 3, 10)
"""Full trainings an hour."""

THRESHOLDS = (0.001, 0.002, 0.005, 0.01)
ALIKE = (1.0, 0.7, 0.5)
SLOW_SEEDS, SLOW_LOOKS = 6, 10
"""The Gaussian process estimates for so many seeds, and after each tenth end."""

Estimate = Callable[
    [Sequence[ObservedTrial], int, Sequence[int], Sequence[float]], list[Gain | None]
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One simulated search: (time, trial, row, epoch, val) of each epoch, and what the trials were
    and how they ended; those that run at the end have no ending.
    """

    events: list[tuple[float, int, int, int, float]]
    params: dict[str, dict[str, Any]]
    endings: dict[str, str]
    marks: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A search as it was when a trial ended, after `event` epochs in all."""

    event: int
    evidence: list[ObservedTrial]
    leader: int
    begun: int


def read_trace(path: Path, curves: Curves, seed: int, budget: float) -> Trace:
    """Reads the trace in `path`, which is simulated first where it isn't there."""
    if not path.exists():
        with quiet_optuna():
            rules = make_simulated_rules(SearchOptions(), curves)
            study = gaussian_process_asha(curves, rules, seed)
            epochs = round((budget + BEYOND) * curves.epochs)
            events = simulate(study, curves, workers=WORKERS, epochs=epochs).events
        found = {
            "events": [(e.time_s, e.trial, e.row, e.epoch, e.val) for e in events],
            "params": {str(n): record.params for n, record in study.records.items()},
            "endings": {
                str(n): str(r.reason or r.state)
                for n, r in study.records.items()
                if r.state is not TrialState.RUNNING
            },
            "marks": (*study.rungs.levels, curves.epochs),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(found))
    return Trace(**json.loads(path.read_text(encoding="utf-8")))


def looks(trace: Trace) -> Iterator[Look]:
    """Yields what an estimator sees whenever a trial ends."""
    last = {trial: n for n, (_, trial, *_) in enumerate(trace.events)}
    values: dict[int, dict[int, float]] = {}
    latest: dict[int, float] = {}
    ended: dict[int, ObservedTrial] = {}
    for n, (_, trial, _, epoch, val) in enumerate(trace.events):
        values.setdefault(trial, {})[epoch] = latest[trial] = val
        if last[trial] != n or str(trial) not in trace.endings:
            continue

        def observe(each: int, *, running: bool) -> ObservedTrial:
            return ObservedTrial(
                params=trace.params[str(each)],
                values=after_shares(values[each], trace.marks[-1], trace.marks),
                running=running,
                unfit=trace.endings.get(str(each)) == StopReason.DIVERGED and not running,
            )

        ended[trial] = observe(trial, running=False)
        if ended[trial].unfit:
            latest[trial] = -1.0
        evidence = [ended.get(each) or observe(each, running=True) for each in values]
        best = max(latest, key=lambda each: (latest[each], -each))
        yield Look(event=n, evidence=evidence, leader=list(values).index(best), begun=len(values))


def without_running(
    evidence: Sequence[ObservedTrial], leader: int, marks: Sequence[int], counts: Sequence[float]
) -> list[Gain | None]:
    """Estimates by records alone: a running trial counts as one that has ended."""
    ended = [replace(each, running=False) for each in evidence]
    return estimate_gains(ended, leader, marks, counts, alike=1.0)


def by_model(
    curves: Curves,
    evidence: Sequence[ObservedTrial],
    leader: int,
    marks: Sequence[int],
    counts: Sequence[float],
) -> list[Gain | None]:
    """Estimates by the sampler's own model: the next trials are the candidates with the highest
    expected improvement, and their results are independent and normal, as the Gaussian process
    predicts them.
    """
    rng = np.random.default_rng(len(evidence))
    seen = [n for n, each in enumerate(evidence) if each.unfit or marks[0] in each.values]
    if len(seen) < 10 or leader not in seen:
        return [None] * len(counts)
    ends, variances = expected_ends([evidence[n] for n in seen], marks)
    if np.ptp(ends) == 0:
        return [None] * len(counts)
    tried = curves.encoding.encode_all([evidence[n].params for n in seen])
    observations = Observations(
        points=np.nan_to_num(tried, nan=0.5), values=ends, variances=variances
    )
    begun = np.empty((0, tried.shape[1]))
    model = GaussianProcess(observations, begun, curves.encoding.owners, rng)
    candidates = curves.points[rng.choice(len(curves.points), min(400, len(curves.points)), False)]
    means, deviations = model.predict(np.nan_to_num(candidates, nan=0.5))
    order = np.argsort(-expected_improvement(means, deviations, float(ends.max())))
    first = seen.index(leader)
    runs = np.array([evidence[n].running and n != leader for n in seen])
    apart = np.sqrt(variances[runs] + variances[first] + 1e-12)
    below = expected_gain._below(ends[first] - ends[runs], apart)

    def gain(count: float) -> Gain:
        chosen = order[: math.ceil(count)]
        found = expected_gain._below(ends[first] - means[chosen], deviations[chosen])
        return expected_gain._gain(below * found, max(1 - float(ends[first]), 0.0))

    return [gain(count) if count <= len(seen) else None for count in counts]


def estimators(curves: Curves, seed: int) -> dict[str, tuple[Estimate, int]]:
    """Name -> (estimator, after how many ends it estimates again)."""
    found: dict[str, tuple[Estimate, int]] = {
        f"records and running trials, {alike:.0%} alike": (partial(estimate_gains, alike=alike), 1)
        for alike in ALIKE
    }
    found["records alone"] = (without_running, 1)
    if seed < SLOW_SEEDS:
        found["the Gaussian process and running trials"] = (partial(by_model, curves), SLOW_LOOKS)
    return found


def evaluate(curves: Curves, trace: Trace, seed: int, budget: float) -> Iterator[dict[str, Any]]:
    """Yields a line for each estimator and length of an hour."""
    rows = [row for _, _, row, _, _ in trace.events]
    cost = np.cumsum(curves.epoch_s[rows])
    handed = curves.val[_handed_over(trace), -1]
    full_s = float(curves.epoch_s.mean()) * curves.epochs
    whole = min(round(budget * curves.epochs), len(rows)) - 1
    every = list(looks(trace))
    for name, (estimate, step) in estimators(curves, seed).items():
        found: dict[int, list[tuple[Look, Gain]]] = {hour: [] for hour in HOURS}
        for look in every[::step]:
            rate = look.begun / float(cost[look.event]) * full_s
            gains = estimate(look.evidence, look.leader, trace.marks, [h * rate for h in HOURS])
            for hour, gain in zip(HOURS, gains, strict=True):
                if gain and look.event <= whole and cost[look.event] + hour * full_s <= cost[-1]:
                    found[hour].append((look, gain))
        for hour, estimates in found.items():

            def gained(look: Look, hour_s: float = hour * full_s) -> float:
                then = int(np.searchsorted(cost, cost[look.event] + hour_s))
                return float(handed[min(then, len(handed) - 1)] - handed[look.event])

            yield {
                "estimator": name,
                "hour": hour,
                "looks": _sum_up(
                    [(gain, gained(look)) for look, gain in estimates[:: SLOW_LOOKS // step]]
                ),
                "ends": {
                    str(threshold): _end(trace, curves, estimates, threshold, gained, cost, whole)
                    for threshold in THRESHOLDS
                },
            }


def _handed_over(trace: Trace) -> list[int]:
    """Returns the row that would be handed over after each event."""
    last = {trial: n for n, (_, trial, *_) in enumerate(trace.events)}
    latest: dict[int, tuple[float, int, int]] = {}  # (value, -trial, row): the highest is best
    best, found = -1, list[int]()
    for n, (_, trial, row, _, val) in enumerate(trace.events):
        diverged = last[trial] == n and trace.endings.get(str(trial)) == StopReason.DIVERGED
        latest[trial] = (-1.0 if diverged else val, -trial, row)
        if trial == best or best < 0:
            best = max(latest, key=latest.__getitem__)
        elif latest[trial] > latest[best]:
            best = trial
        found.append(latest[best][2])
    return found


def _sum_up(pairs: Sequence[tuple[Gain, float]]) -> dict[str, float]:
    return {
        "n": len(pairs),
        "above": sum(real > gain.upper + 1e-9 for gain, real in pairs),
        "expected": round(sum(gain.expected for gain, _ in pairs), 5),
        "gained": round(sum(real for _, real in pairs), 5),
    }


def _end(
    trace: Trace,
    curves: Curves,
    estimates: Sequence[tuple[Look, Gain]],
    threshold: float,
    gained: Callable[[Look], float],
    cost: Vector,
    whole: int,
) -> dict[str, float] | None:
    """Returns how a search with `--min-gain threshold` ends, or `None` where it doesn't."""
    for look, gain in estimates:
        if max(gain.expected, gain.upper) < threshold:
            begun = {trial for _, trial, *_ in trace.events[: look.event + 1]}
            # Running trials end by their rules; those that came later don't count.
            rest = [n for n in range(whole + 1) if trace.events[n][1] in begun]
            own = replace(trace, events=[trace.events[n] for n in rest])
            spent = float(curves.epoch_s[[e[2] for e in own.events]].sum())
            scale = RegretScale.of(curves)
            here, there = (
                scale.regret(_handed_over(each)[-1])
                for each in (own, replace(trace, events=trace.events[: whole + 1]))
            )
            return {
                "share": round(spent / float(cost[whole]), 4),
                "expected": round(gain.expected, 5),
                "upper": round(gain.upper, 5),
                "gained": round(gained(look), 5),
                "lost": round(here - there, 5),
            }
    return None


def benchmark(arguments: list[str] | None = None) -> None:
    made = measure.parser("gain", __doc__, images=False)
    add_curves(made)
    made.add_argument("--traces", type=Path, metavar="DIR", default=measure.TRIED / "traces")
    options = parse_curves(made, arguments)
    run(options.out.with_suffix(".jsonl"), options, 4.0 if options.quick else BUDGET)


def run(out: Path, given: argparse.Namespace, budget: float) -> None:
    """Evaluates what is missing in `out`."""
    done = {(line["task"], line["seed"]) for line in read_lines(out) if "task" in line}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        header = provenance(detect_machine(), sys.argv[1:]) | {"budget": budget}
        file.write(json.dumps(header) + "\n")
        for seed, path in product(range(given.rounds), given.curves):
            if (path.stem, seed) in done:
                continue
            curves = read_curves(path)
            trace = read_trace(given.traces / f"{path.stem}-{seed}.json", curves, seed, budget)
            about: dict[str, Any] = {"task": path.stem, "rows": len(curves.val), "seed": seed}
            lines = [about | line for line in evaluate(curves, trace, seed, budget)]
            file.write("".join(json.dumps(line) + "\n" for line in lines))
            file.flush()


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
