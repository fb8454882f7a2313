"""Words what a search found: the headline, the numbers and the configuration at the head of its
page.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from common.cli import quote_command
from common.text import format_duration
from results.analysis.expected_gain import gain_of_run
from results.analysis.finalist_comparison import BASELINE, Outcome, Standing
from results.analysis.intervals import Interval, proportion
from results.analysis.session_times import sum_gpu_time
from results.page.formatting import (
    OUTCOMES,
    count,
    display_name,
    outcome,
    percent,
    points,
    span,
    value,
)
from results.page.run_data import Final, Run
from results.records import TrialRecord
from results.store import BEST


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """Holds one number that is read at a glance, with its label and the note that it has to be read
    with.
    """

    label: str
    number: str
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Holds one field of the best configuration beside the baseline's value. `searched` is true for
    a field that the search varied.
    """

    name: str
    best: str
    baseline: str
    searched: bool

    @property
    def changed(self) -> bool:
        """Returns whether the best configuration's value differs from the baseline's. The result is
        false where there is no baseline to compare with.
        """
        return self.baseline not in ("", self.best)


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """Holds the head of a page: the headline, what it leaves open, the numbers, the configuration,
    and the next commands to type.
    """

    headline: str
    caution: str
    cards: list[Card]
    settings: list[Setting]
    commands: list[str]


def make_headline(run: Run) -> Headline:
    """Builds the head of a run's page. A run without a winner has neither a configuration to show
    nor one to train.
    """
    if run.best is None or run.winner is None:
        return Headline(
            headline="No trial has succeeded.",
            caution=_describe_endings(run),
            cards=[_cost(run)],
            settings=[],
            commands=[],
        )
    headline, caution = _verdict(run, run.winner)
    return Headline(
        headline=headline,
        caution=caution,
        cards=[*_accuracies(run, run.winner, run.best), *_expected_gain(run), _cost(run)],
        settings=list(_settings(run, run.winner, run.best)),
        commands=_commands(run),
    )


def _describe_endings(run: Run) -> str:
    """Returns a sentence on how many trials ended in which way."""
    endings = Counter(OUTCOMES[outcome(record)][0] for record in run.trials.values())
    words = ", ".join(f"{label} {number}" for label, number in endings.most_common())
    return f"How its {count(len(run.trials), 'trial')} stand: {words}. The table has the details."


def finalists_decision(run: Run) -> tuple[Outcome, Standing] | None:
    """Returns the finalists' comparison and its winner if the finalists chose the best
    configuration, else `None`.
    """
    if run.outcome is None or run.outcome.winner is None:
        return None
    return run.outcome, run.outcome.winner


def _verdict(run: Run, winner: TrialRecord) -> tuple[str, str]:
    """Returns the headline and a sentence on what it leaves open."""
    chosen = finalists_decision(run)
    if chosen:
        return _finalists_verdict(*chosen)
    baseline, reached = run.baseline, percent(winner.last_val_top1)
    remedy = "--finalists 3 trains the best and the baseline again with fresh seeds."
    if baseline is winner:
        caution = f"One seed decided it, and another may decide otherwise: {remedy}"
        return f"No trial beats the baseline, which reaches {reached} on val.", caution
    headline = f"Trial {winner.number} reaches {reached} on val"
    if baseline is None or not baseline.trusted or baseline.last_val_top1 is None:
        why = "" if baseline is None else f" ({OUTCOMES[outcome(baseline)][0]})"
        return (
            f"{headline}.",
            f"The baseline has no result to compare with{why}. One seed chose the best: {remedy}",
        )
    lead = points((winner.last_val_top1 or 0.0) - baseline.last_val_top1)
    caution = f"One seed chose it, so that part of its lead may be luck: {remedy}"
    return f"{headline}, {lead} more than the baseline.", caution


def _finalists_verdict(outcome: Outcome, winner: Standing) -> tuple[str, str]:
    assert winner.top1 is not None
    seeds = f"over {len(outcome.seeds)} fresh seeds"
    name = display_name(winner.trial, BASELINE)
    reached = f"{percent(winner.top1.mean)} on val {seeds}"
    caution = "The intervals are 95 %, of what another seed would change; val stays the same."
    if winner.trial == BASELINE:
        return f"No finalist beats the baseline, which reaches {reached}.", caution
    headline = f"{name.capitalize()} reaches {reached}"
    if winner.lead is None:
        return f"{headline}; the baseline isn't there to be compared.", caution
    lead = f"{points(winner.lead.mean)} ({_signed(winner.lead)})"
    if outcome.beats_baseline:
        return f"{headline} and beats the baseline beyond noise, by {lead}.", caution
    return f"{headline}; its lead over the baseline, {lead}, is within noise.", caution


def _signed(lead: Interval) -> str:
    return f"{100 * lead.low:+.1f} … {100 * lead.high:+.1f}"


def _accuracies(run: Run, winner: TrialRecord, best: Mapping[str, Any]) -> Iterator[Card]:
    baseline = run.baseline
    yield Card(
        label="best val_top1",
        number=percent(best["value"]),
        note=_val_note(run, winner, best["value"]),
    )
    yield _test_card("test top-1", run.finals.get(winner.number))
    if baseline and baseline is not winner:
        top1 = best["baseline"]["value"]
        note = _val_note(run, baseline, top1)
        final = run.finals.get(baseline.number)
        tested = f"; test {percent(final.test_top1)} after {final.epochs} epochs" if final else ""
        yield Card(label="baseline val_top1", number=percent(top1), note=note + tested)
    published = run.manifest.get("published")
    if published:
        yield _published(published)
    for name in run.objectives[1:]:
        yield Card(label=name, number=value(getattr(winner, name)), note="of the best trial")


def _val_note(run: Run, record: TrialRecord, top1: float) -> str:
    chosen = finalists_decision(run)
    standing = chosen and next((s for s in chosen[0].standings if s.trial == record.number), None)
    if chosen and standing and standing.top1:
        seeds = f"mean of {count(len(standing.values), 'seed')} after {chosen[0].epochs} epochs"
        return f"{span(standing.top1)}, {seeds}"
    # Manifests of older versions don't record the number of val images.
    images = run.manifest["dataset"].get("val_images")
    ends = f"{span(proportion(top1, images))} for {count(images, 'image')}; " if images else ""
    return f"{ends}trial {record.number}, epoch {record.epochs}, one seed"


def _test_card(label: str, final: Final | None) -> Card:
    if final is None:
        return Card(label=label, number="–", note="opened by final training alone: see below")
    interval = proportion(final.test_top1, final.test_images)
    flip, mean = final.test_top1_flip, final.over_seeds
    more = f"; {percent(flip)} with flip averaging" if flip is not None else ""
    if mean:
        more += f"; mean of {final.seeds} seeds {percent(mean.mean)}, {span(mean)}"
    return Card(
        label=label,
        number=percent(final.test_top1),
        note=f"{span(interval)} for {count(final.test_images, 'image')}; {final.epochs} epochs on "
        f"train and val, in {format_duration(final.wall_s)}{more}",
    )


def _published(published: dict[str, Any]) -> Card:
    """Returns the card of the accuracy that the space's authors published: the one on test where
    they report it, else the one on what they call val.
    """
    name = "test" if published.get("test_top1") is not None else "val"
    top1 = published.get(f"{name}_top1")
    return Card(
        label=f"published {name} top-1",
        number=percent(top1),
        note=published.get("note") or "its authors' own figure",
    )


def _expected_gain(run: Run) -> Iterator[Card]:
    """Yields the card of what going on would gain, where the run holds an estimate."""
    gain, why = gain_of_run(run.manifest, run.trials.values())
    if gain is None:
        return
    hour = gain.hour is not None and gain.hour_upper is not None
    pair = (gain.hour, gain.hour_upper) if hour else (gain.ten, gain.ten_upper)
    expected, upper = (each or 0.0 for each in pair)
    yield Card(
        label=f"expected of {f'another {gain.unit}' if hour else 'ten more trials'}",
        number=f"{100 * expected:.2f} points",
        note=f"of val_top1; with 90 % probability at most {100 * max(upper, expected):.2f}, after "
        f"{count(gain.ended, 'trial')}{f'; the search ended because {why}' if why else ''}",
    )


def _cost(run: Run) -> Card:
    epochs = count(len(run.recorded) + len(run.finalist_epochs), "epoch")
    repeats = f" and {count(len(run.finalists), 'repeat')} of finalists" if run.finalists else ""
    short = count(sum(each.epochs > 0 for each in run.screening.values()), "short training")
    repeats += f", {short} before them" if run.screening else ""
    clock = f", {format_duration(run.clock_s)} on the clock" if run.clock_s else ""
    return Card(
        label="cost: training time",
        number=format_duration(run.training_s),
        note=f"of all workers; {count(len(run.trials), 'trial')}{repeats}, {epochs}{clock}"
        f"{_gpu_hours(run)}",
    )


def _gpu_hours(run: Run) -> str:
    """Returns for how long the search held GPUs, as the end of a note; the text is empty where it
    held none. Of an older run, this is known only where the options name a trial's share of a GPU.
    """
    share = str(run.manifest.get("options", {}).get("gpus_per_trial", "auto"))
    training_gpu_s = 0.0
    with suppress(ValueError):  # auto, or a word that no search has written
        training_gpu_s = float(share) * run.training_s
    held = sum_gpu_time(run.manifest.get("sessions", ()), training_gpu_s).describe()
    return f", {held}" if held else ""


def _settings(run: Run, winner: TrialRecord, best: Mapping[str, Any]) -> Iterator[Setting]:
    """Yields the searched parameters in the order in which the space asks for them, and then the
    fields that all trials share.
    """
    config = best["config"]
    other = best["baseline"]["config"] if run.baseline not in (None, winner) else {}
    searched = [name for name in run.ranges if name in config]
    searched += [name for name in winner.params if name not in searched and name in config]
    # A parameter that the winner wasn't asked for, such as momentum with AdamW, can still be a
    # field of its configuration.
    for name in [*searched, *(name for name in config if name not in searched)]:
        yield Setting(
            name=name,
            best=value(config[name]),
            baseline=value(other[name]) if name in other else "",
            searched=name in searched,
        )


def _commands(run: Run) -> list[str]:
    """Returns the commands that train the best configuration to the end, to be typed in the
    project's root.
    """
    data = run.manifest.get("options", {}).get("data", "data")
    path = run.directory / BEST
    lines = [] if path.exists() else [quote_command("python -m results.export", run.directory)]
    return [*lines, quote_command("python -m trainables.final", "--config", path, data=data)]
