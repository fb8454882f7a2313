"""Searches for the configuration that generalises best: `python -m search.run --space resnet50`."""

import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    with suppress(ImportError):  # the preflight reports a foreign package of this name
        from common.signals import exit_on_signals

        exit_on_signals("ended while no trial was running; no record is lost.")

from search import preflight

if TYPE_CHECKING:
    from search.planning.plan import Plan


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0 after a search, 1 without a result, 2 where the search is refused, and 128 + the number of the
    signal that has ended it, such as 130 after Ctrl-C.
    """
    try:
        preflight.check()
        return _main(arguments)
    except preflight.PreflightError as error:
        return preflight.refuse(error.errors)
    except KeyboardInterrupt as error:
        print("Ended before the first trial; the same command starts again.", file=sys.stderr)
        from common.signals import code_of

        return code_of(error)


def _main(arguments: list[str] | None) -> int:
    # The rest of the project needs what the preflight has just found.
    from common.cli import refuse
    from common.errors import UserError
    from search.config.command_line import parse, read_yaml, resolve
    from search.config.options import ACTIONS
    from search.monitoring.space_text import show_spaces
    from search.planning.continuation import more_trials
    from search.planning.plan import make_plan
    from search.ray_backend.ray_cluster import join_cluster
    from search.session.hooks.checks import check_hooks
    from search.session.resume import find_run, has_begun, saved_options
    from search.session.steering.steered_session import keep_steered

    command_line, unknown = parse(arguments)
    actions = {name: command_line.pop(name, None) for name in ACTIONS}
    if actions["list"]:
        return show_spaces()
    if actions["resume"] and actions["resume_or_start"]:
        unknown.append("--resume can't go with --resume-or-start; leave one of them out.")
    named = actions["resume"] or actions["resume_or_start"]
    try:
        layers = [read_yaml(Path(actions["config"]))] if actions["config"] else []
        layers.append(command_line)
        place = find_run(named, layers) if named else {}
        resuming = bool(actions["resume"]) or (bool(named) and has_begun(place, layers))
        words = sys.argv[1:] if arguments is None else arguments
        saved = saved_options(place, layers, words) if resuming else None
        notes = keep_steered(place, layers) if resuming else []
        unknown += more_trials(layers, saved)
    except UserError as error:
        return refuse(*unknown, error)
    options, errors = resolve(saved or {}, *layers, place)
    if named and not resuming and command_line.get("name") not in (None, place["name"]):
        errors.append(
            f"--name must be left out beside --resume-or-start, which names the run {named}."
        )
    if actions["accept_space"] and not named:
        errors.append("--accept-space goes with --resume only; leave it out for a new run.")
    errors += check_hooks(actions)
    if actions["quiet"] and actions["verbose"]:
        errors.append("--quiet can't go with --verbose; leave one of them out.")
    with join_cluster(options.address if not unknown + errors else "") as (cluster, no_cluster):
        plan, more = make_plan(
            options,
            resuming=resuming,
            cluster=cluster,
            accept_space=bool(actions["accept_space"]),
        )
        if unknown or errors or more or no_cluster or plan is None:
            return refuse(*unknown, *errors, *no_cluster, *more)
        try:
            print(*notes, sep="\n", end="\n" if notes else "", file=sys.stderr)
            given = words if arguments is None else None
            return _carry_out(plan, actions, given, resuming=resuming)
        except UserError as error:
            return refuse(error)


def _carry_out(
    plan: "Plan", actions: dict[str, Any], given: list[str] | None, *, resuming: bool
) -> int:
    """Runs the search, or shows what it would do, as `actions` ask. Returns the exit code; raises
    `UserError`.

    given: the words of the process's command line; `None` where another program runs the search.
    """
    from search.session.dry_run import dry_run
    from search.session.execute import execute
    from search.session.hooks.hooks import Hooks
    from search.session.recovery import words_to_go_on

    measure = bool(actions["measure"])
    if actions["dry_run"]:
        return dry_run(plan, resuming=resuming, measure=measure)
    verbose, quiet = bool(actions["verbose"]), bool(actions["quiet"])
    again = []
    if given is not None and plan.cluster is None:
        again = words_to_go_on(given, plan, resumed=bool(actions["resume"]))
    hooks = Hooks(plan, actions["on_end"] or "", actions["on_best"] or "")
    search = partial(execute, plan, resuming=resuming, measure=measure, again=again, hooks=hooks)
    return hooks.around(lambda: search(verbose=verbose, quiet=quiet))


if __name__ == "__main__":
    code = main()
    from common.signals import end_process

    end_process(code)
