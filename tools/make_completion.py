"""Writes docs/completion.bash: `python -m tools.make_completion`.

The page is a finished script, so that the shell completes without starting Python.
"""

from argparse import ArgumentParser
from pathlib import Path

import shtab

from common.files import write_text_atomically
from datasets.registry import DATASETS
from datasets.spec import OWN
from tools.commands import COMMANDS

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "completion.bash"

_FILES = ("config", "source", "data", "out", "to", "weights", "curves")
_COMPLETED = {
    **dict.fromkeys(_FILES, shtab.FILE),
    **dict.fromkeys(("run", "runs", "warm_start"), shtab.DIRECTORY),
    "space": {"bash": "_spaces_and_files"},
    "resume": {"bash": "_names_of_runs"},
    "dataset": {"bash": "_names_of_datasets"},
}
"""The values of arguments with these names are completed by shtab's functions for files and
folders, or by the shell functions below.
"""

_LISTED = f"""\
# These functions list what exists when the key is pressed.
_names_of_runs() {{
  compgen -W "$(cd runs 2>/dev/null && ls -d -- */ | tr -d /)" -- "$1"
}}
_names_of_datasets() {{
  local own
  own=$(cd data 2>/dev/null && ls -d -- {OWN}-*/ 2>/dev/null | sed 's,^{OWN}-\\(.*\\)/$,{OWN}:\\1,')
  compgen -W "{" ".join(DATASETS)} $own" -- "$1"
}}
_spaces_and_files() {{
  compgen -W "$(cd search/spaces && ls -- [a-z]*.py | sed 's/\\.py$//')" -- "$1"
  compgen -f -- "$1"
}}"""

_HEAD = """\
# Completion of this project's commands in bash, written by `make docs`. In the project's folder:
#
#   source docs/completion.bash
#
# All but the last function is made by shtab.
"""

_TAIL = """\
# This replaces shtab's own last line: only `python -m …` in this project's folder completes
# commands, and anything else completes file names. Where readline breaks words at colons, as in
# folder:NAME, they are put together first, and what is on the line already isn't offered again.
_project_python() {
  COMPREPLY=()
  [[ ${COMP_WORDS[1]} == -m && $COMP_CWORD -ge 2 && -f search/run.py ]] || return 0
  local word words=() after=
  for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    if [[ ( $word == : || -n $after ) && ${#words[@]} -gt 0 ]]; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
    [[ $word == : ]] && after=1 || after=
  done
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
  _shtab_python
  word=${words[-1]}
  [[ $COMP_WORDBREAKS == *:* ]] && COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
  return 0
}
complete -o bashdefault -o default -F _project_python python python3
"""


def script() -> str:
    """Returns the text of the script."""
    made = shtab.complete(_whole(), "bash", root_prefix="python", preamble=_LISTED)
    return "\n".join((_HEAD, made, _TAIL))


def _whole() -> ArgumentParser:
    """Returns a parser of `python -m`, whose subcommands are the project's commands."""
    whole = ArgumentParser(prog="python", add_help=False)
    whole.add_argument("-m", action="store_true")
    modules = whole.add_subparsers()
    for name, make in COMMANDS.items():
        _values(own := make())
        modules.add_parser(name, parents=[own], add_help=False, help="")  # shtab skips one without
    return whole


def _values(parser: ArgumentParser) -> None:
    """Sets the values that shtab offers for the arguments of a command, where the parser itself
    doesn't restrict them. A positional NAME is that of a dataset.
    """
    for action in parser._actions:
        if action.choices:  # a name in several words would be offered as these words
            action.choices = [choice for choice in action.choices if " " not in str(choice)]
        is_dataset = action.dest == "name" and not action.option_strings
        if (kind := "dataset" if is_dataset else action.dest) in _COMPLETED:
            action.complete = _COMPLETED[kind]  # type: ignore[attr-defined]


if __name__ == "__main__":
    write_text_atomically(SCRIPT, script())
