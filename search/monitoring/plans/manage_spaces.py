"""Lists the spaces, checks one, or writes one of your own: `python -m search.spaces new my_space`.

`new NAME` writes NAME.py, a space like one of the project's, for you to change. `check SPACE` draws
from a space, a name or a file, and prints what it searches and all that is wrong with it; the exit
code is then 1. `list` prints one line for each of the project's spaces.
"""

import sys
from pathlib import Path

from common.cli import Parser, quote_command, refuse
from common.errors import UserError

ACTIONS = ("list", "check", "new")


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m search.spaces`."""
    made = Parser(prog="python -m search.spaces", description=__doc__)
    made.add_argument("action", choices=ACTIONS, metavar="ACTION", help="what to do")
    made.add_argument(
        "space",
        nargs="?",
        metavar="SPACE",
        help="check: the name or the Python file of a space; new: the name of the new one",
    )
    made.add_argument("--like", metavar="SPACE", help="new: the space it begins as (default: demo)")
    made.add_argument("--out", type=Path, help="new: the folder of the file (default: this one)")
    made.add_argument("--json", action="store_true", help="list, check: print JSON")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, 1 for a space that a check finds faulty, or 2 after an error.
    """
    options = parser().parse_args(arguments)
    wrong = []
    if (options.space is None) != (options.action == "list"):
        needed = "no space" if options.action == "list" else "the name or the file of a space"
        wrong.append(f"`{options.action}` must be followed by {needed}, as --help shows.")
    if options.action != "new" and (options.like or options.out):
        wrong.append("--like and --out go with `new` only; leave them out.")
    if options.action == "new" and options.json:
        wrong.append("--json goes with `list` and `check` only; leave it out.")
    if wrong:
        return refuse(*wrong)
    if options.action == "list":
        return _list(as_json=options.json)
    if options.action == "check":
        return _check(options.space, as_json=options.json)
    return _new(options.space, options.like or "demo", options.out or Path())


def _list(*, as_json: bool) -> int:
    from search.monitoring.plans.space_text import list_as_json, show_spaces

    if not as_json:
        return show_spaces()
    print(list_as_json())
    return 0


def _check(space: str, *, as_json: bool) -> int:
    from search.monitoring.plans.space_text import describe_report, describe_verdict, report_as_json
    from search.planning.space_check import check_space

    report = check_space(space)
    if as_json:
        print(report_as_json(report))
        return 1 if report.errors else 0
    print(*describe_report(report), sep="\n", flush=True)
    refuse(*report.errors)
    print(describe_verdict(report))
    return 1 if report.errors else 0


def _new(name: str, like: str, folder: Path) -> int:
    from search.planning.space_file import write_space

    try:
        path = write_space(name, like, folder)
    except (UserError, OSError) as error:
        return refuse(error)
    show = quote_command("python -m search.run", "--space", path, "--dry-run")
    print(path)
    print(f"Change it, and check it: {quote_command('python -m search.spaces check', path)}")
    print(f"What a search would do:  {show}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
