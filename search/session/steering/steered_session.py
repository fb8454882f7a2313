"""Connects the steering of a search with its session: records, saved options, and the mailbox."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.durations import seconds_of
from common.errors import UserError
from results.run_hints import resume_command
from results.side_store import SteeringAction, SteeringRecord, add_steering
from results.store import RunStore, read_manifest
from search.config.command_line import resolve
from search.config.options import flag_of
from search.config.validation import MAX_TRIALS
from search.planning.plan import Plan, make_proposer
from search.session import session_log
from search.session.steering.mailbox import Mailbox
from search.study.budget import Budget
from search.study.observer import Observer
from search.study.steering.configurations import make_by_hand
from search.study.steering.steered_study import SteeredStudy
from search.study.steering.steering import Steering
from trainables.config import TrialConfig

STEERED = "steered"
"""A manifest holds under this key each option that was changed while the search ran: its value `to`
and the values that it had `before`.
"""


def make_steering(
    plan: Plan,
    study: SteeredStudy[TrialConfig],
    budget: Budget,
    store: RunStore,
    manifest: dict[str, Any],
    used_s: float,
) -> Steering[TrialConfig]:
    """Returns the steering of a session, whose `manifest` keeps the options that it changes.
    Earlier sessions have used `used_s` seconds.
    """
    proposer = make_proposer(plan, manifest["precision"])

    def stamp(action: SteeringAction, words: str) -> SteeringRecord:
        return SteeringRecord(
            action=action,
            words=words,
            answer="",
            at=session_log.now(),
            session=len(manifest["sessions"]),
            session_s=store.session_s(),
        )

    def save(changed: Mapping[str, Any]) -> None:
        change_options(manifest, changed)
        store.write_manifest(manifest)

    return Steering(
        study,
        budget,
        lambda named, base: make_by_hand(proposer, named, base),
        stamp=stamp,
        keep=lambda record: add_steering(store.files, record),
        save=save,
        allocated=plan.resources.at_once,
        used_s=lambda: used_s + store.session_s(),
        on_gpus=bool(plan.resources.gpus_held),
        most_trials=MAX_TRIALS,
    )


def change_options(manifest: dict[str, Any], changed: Mapping[str, Any]) -> None:
    """Changes options in a run's manifest, which keeps the values that they had before."""
    steered = manifest.setdefault(STEERED, {})
    for key, value in changed.items():
        old = manifest["options"].get(key)
        before = [*steered.get(key, {}).get("before", ()), old]
        steered[key] = {"before": before, "to": value}
        manifest["options"][key] = value


def steered_plan(plan: Plan, manifest: Mapping[str, Any]) -> Plan:
    """Returns the plan with the options that steering has changed in the session's manifest."""
    changed = {key: manifest["options"][key] for key in manifest.get(STEERED, ())}
    return replace(plan, options=replace(plan.options, **changed))


def keep_steered(place: Mapping[str, str], layers: Sequence[dict[str, Any]]) -> list[str]:
    """Takes out of `layers` the options that steering has changed since, of which they have an
    earlier value: the same command line resumes a run over and over, as in a cluster's queue.
    Returns a note for each.

    place: the options `name` and `out` of the run. Raises `RunError` where it can't be read.
    """
    manifest, notes = read_manifest(Path(place["out"]) / place["name"]), []
    for key, entry in manifest.get(STEERED, {}).items():
        if manifest["options"].get(key) != entry["to"]:
            continue  # a later session was given another value
        before = [_read_option(key, value) for value in entry["before"]]
        given = [layer for layer in layers if key in layer]
        notes += [
            f"note: --{flag_of(key)} is {entry['to']}, to which search.steer has changed it from "
            f"{layer.pop(key)}."
            for layer in given
            if _read_option(key, layer[key]) in before
        ]
    return notes


def _read_option(key: str, value: Any) -> Any:
    """Returns what an option's text stands for, so that 60m equals 1h."""
    found = getattr(resolve({key: value})[0], key)
    return seconds_of(found) if key == "time_budget" else found


@contextmanager
def open_mailbox(
    directory: Path,
    steering: Steering[TrialConfig],
    observer: Observer,
    warn: Callable[[str], object],
) -> Iterator[Callable[[], None]]:
    """Opens the mailbox of the run in `directory` during the block, and gives a function that
    carries out the commands in it and reports them to `observer`. A run whose folder can't hold
    one can't be steered, about which `warn` is called with a note.
    """
    try:
        mailbox = Mailbox(directory)
    except OSError as error:
        warn(
            f"note: this run can't be steered, because {error.filename} can't be used "
            f"({error.strerror}); the search itself isn't concerned."
        )
        yield lambda: None
        return

    def carry_out() -> None:
        for name, words in mailbox.take():
            try:
                record = steering.carry_out(words)
            except UserError as error:
                mailbox.answer(name, error.errors, refused=True)
            else:
                observer.steered(record)
                mailbox.answer(name, [record.answer])

    try:
        yield carry_out
    finally:
        with suppress(OSError):
            mailbox.close(
                f"The search in {directory} must go on to be steered, but has just ended; go on "
                f"with it by `{resume_command(directory)}`."
            )
