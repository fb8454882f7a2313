"""Writes docs/completion.bash: `python -m tools.make_completion`.

A finished script rather than one that asks Python at each press of the key: the shell answers at
once, and the commands themselves start no slower.
"""

import re
from argparse import ArgumentParser
from pathlib import Path

import shtab

from common.files import write_text_atomically
from datasets.registry import DATASETS
from tools.commands import COMMANDS

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "completion.bash"

FUNCTION = "_shtab_python"

_FILES = ("config", "source", "data", "out", "to", "weights", "curves")
_COMPLETED = {
    **dict.fromkeys(_FILES, shtab.FILE),
    **dict.fromkeys(("run", "runs", "warm_start"), shtab.DIRECTORY),
    "space": {"bash": "_spaces_and_files"},
    "resume": {"bash": "_names_of_runs"},
}
"""Of arguments, by their names: what gives the values that they take."""

_LISTED = """\
# What is there when the key is pressed.
_names_of_runs() {
  compgen -W "$(cd runs 2>/dev/null && ls -d -- */ | tr -d /)" -- "$1"
}
_spaces_and_files() {
  compgen -W "$(cd search/spaces && ls -- [a-z]*.py | sed 's/\\.py$//')" -- "$1"
  compgen -f -- "$1"
}"""

_HEAD = """\
# Completion of this project's commands in bash, written by `make docs`. In the project's folder:
#
#   source docs/completion.bash
#
"""

_TAIL = f"""\
# Only `python -m …` in this project's folder is ours; anything else completes file names.
_project_python() {{
  COMPREPLY=()
  [[ ${{COMP_WORDS[1]}} == -m && $COMP_CWORD -ge 2 && -f search/run.py ]] && {FUNCTION}
  return 0
}}
complete -o bashdefault -o default -F _project_python python python3
"""


def script() -> str:
    """The script's text."""
    made = shtab.complete(_whole(), "bash", root_prefix="python", preamble=_LISTED)
    # shtab's first lines say where to install it, its last one whose words are completed.
    body = made[made.index("\n\n") : made.rindex("\ncomplete ")].strip()
    return _HEAD + re.sub(r"\n{3,}", "\n\n", body) + "\n\n" + _TAIL


def _whole() -> ArgumentParser:
    """One command line of which ours are the subcommands, as `python -m` reads it."""
    whole = ArgumentParser(prog="python", add_help=False)
    whole.add_argument("-m", action="store_true")
    modules = whole.add_subparsers()
    for name, make in COMMANDS.items():
        _values(own := make())
        modules.add_parser(name, parents=[own], add_help=False, help="")  # shtab skips one without
    return whole


def _values(parser: ArgumentParser) -> None:
    """Tells shtab which values an option takes that its parser leaves to be checked later."""
    for action in parser._actions:
        if action.dest == "dataset" or (action.dest == "name" and not action.option_strings):
            action.choices = list(DATASETS)
        elif action.choices:  # a name in several words would be offered as these words
            action.choices = [choice for choice in action.choices if " " not in str(choice)]
        if action.dest in _COMPLETED:
            action.complete = _COMPLETED[action.dest]  # type: ignore[attr-defined]


if __name__ == "__main__":
    write_text_atomically(SCRIPT, script())
