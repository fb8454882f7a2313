"""Searches for the configuration that generalises best: `python -m search.run --space resnet50`."""

import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    with suppress(ImportError):  # the preflight reports a foreign package of this name
        from common.signals import exit_on_signals

        exit_on_signals("ended while no trial was running; no record is lost.")

from search import preflight

if TYPE_CHECKING:
    from search.session.api.request import Plan


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
    from search.config.command_line import parse
    from search.config.options import ACTIONS
    from search.monitoring.plans.space_text import show_spaces
    from search.session.api.request import Request, open_plan
    from search.session.hooks.checks import check_hooks

    command_line, faults = parse(arguments)
    actions = {name: command_line.pop(name, None) for name in ACTIONS}
    if actions["list"]:
        return show_spaces()
    faults += check_hooks(actions)
    if actions["quiet"] and actions["verbose"]:
        faults.append("--quiet can't go with --verbose; leave one of them out.")
    words = sys.argv[1:] if arguments is None else arguments
    request = Request(
        options=command_line,
        config=actions["config"] or "",
        resume=actions["resume"] or "",
        resume_or_start=actions["resume_or_start"] or "",
        accept_space=bool(actions["accept_space"]),
        faults=faults,
        words=words,
    )
    try:
        with open_plan(request) as (plan, resuming):
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
    from rich.console import Console

    from search.monitoring.monitor import Monitor
    from search.session.dry_run import dry_run
    from search.session.execute import execute
    from search.session.hooks.hooks import Hooks
    from search.session.recovery import words_to_go_on

    measure = bool(actions["measure"])
    console = Console(highlight=False)
    if actions["dry_run"]:
        dry_run(plan, console, resuming=resuming, measure=measure)
        return 0
    verbose, quiet = bool(actions["verbose"]), bool(actions["quiet"])
    monitor = Monitor(console, plan.options.trials, verbose=verbose, quiet=quiet)
    again = []
    if given is not None and plan.cluster is None:
        again = words_to_go_on(given, plan, resumed=bool(actions["resume"]))
    hooks = Hooks(plan, actions["on_end"] or "", actions["on_best"] or "")
    search = partial(execute, plan, monitor, resuming=resuming, measure=measure, again=again)
    return hooks.around(lambda: search(hooks=hooks))


if __name__ == "__main__":
    code = main()
    from common.signals import end_process

    end_process(code)
