"""Turns what a user asks for, on a command line or in Python, into the plan of a search."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from search.config.command_line import read_yaml, resolve
from search.config.options import OptionsError
from search.planning.continuation import more_trials
from search.planning.plan import Plan as Plan
from search.planning.plan import make_plan
from search.ray_backend.ray_cluster import join_cluster
from search.session.resume import find_run, has_begun, saved_options
from search.session.steering.steered_session import keep_steered


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Holds what a user asks for: option values, which win over those in the YAML file `config`,
    and the run to resume, by its name or its folder.

    accept_space: whether the run may go on although the ranges of its space have changed.
    faults: sentences on what was wrong before, which are reported together with all others.
    words: the words of the command line, for an error that names the command to give instead.
    """

    options: dict[str, Any]
    config: str = ""
    resume: str = ""
    resume_or_start: str = ""
    accept_space: bool = False
    faults: Sequence[str] = ()
    words: Sequence[str] = ()


@contextmanager
def open_plan(request: Request) -> Iterator[tuple[Plan, bool]]:
    """Yields the plan of a search, and whether its run exists already. Prints what a resumed search
    keeps of what was changed by hand. The cluster that the options
    name is joined during the block.

    Raises `OptionsError` with one sentence for each fault.
    """
    faults, named = list(request.faults), request.resume or request.resume_or_start
    if request.resume and request.resume_or_start:
        faults.append("--resume can't go with --resume-or-start; leave one of them out.")
    try:
        layers = [read_yaml(Path(request.config))] if request.config else []
        layers.append(request.options)
        place = find_run(named, layers) if named else {}
        resuming = bool(request.resume) or (bool(named) and has_begun(place, layers))
        saved = saved_options(place, layers, request.words) if resuming else None
        notes = keep_steered(place, layers) if resuming else []
        faults += more_trials(layers, saved)
    except UserError as error:
        raise OptionsError([*faults, *error.errors]) from error
    options, wrong = resolve(saved or {}, *layers, place)
    wrong += _find_conflicts(request, place, resuming=resuming)
    with join_cluster(options.address if not faults + wrong else "") as (cluster, no_cluster):
        plan, more = make_plan(
            options, resuming=resuming, cluster=cluster, accept_space=request.accept_space
        )
        errors = [*faults, *wrong, *no_cluster, *more]
        if errors or plan is None:
            raise OptionsError(errors)
        print(*notes, sep="\n", end="\n" if notes else "", file=sys.stderr)
        yield plan, resuming


def _find_conflicts(request: Request, place: Mapping[str, str], *, resuming: bool) -> Iterator[str]:
    named = request.resume or request.resume_or_start
    if named and not resuming and request.options.get("name") not in (None, place["name"]):
        yield f"--name must be left out beside --resume-or-start, which names the run {named}."
    if request.accept_space and not named:
        yield "--accept-space goes with --resume only; leave it out for a new run."
