"""Lists the commands of the project that take arguments. Importing this loads nothing heavy."""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping

from datasets import list as list_datasets
from datasets import prepare
from results import annotate, compare, curves, export, importance, report, runs, show
from results import final as final_pages
from search import simulate, steer
from search.config import command_line
from search.monitoring.plans import manage_spaces
from trainables import export as export_model
from trainables import final, predict

COMMANDS: Mapping[str, Callable[[], ArgumentParser]] = {
    "search.run": command_line.parser,
    "search.spaces": manage_spaces.parser,
    "datasets.prepare": prepare.parser,
    "datasets.list": list_datasets.parser,
    "trainables.final": final.parser,
    "trainables.predict": predict.parser,
    "trainables.export": export_model.parser,
    "results.final": final_pages.parser,
    "results.export": export.parser,
    "results.runs": runs.parser,
    "results.show": show.parser,
    "results.annotate": annotate.parser,
    "results.report": report.parser,
    "results.compare": compare.parser,
    "results.importance": importance.parser,
    "search.simulate": simulate.parser,
    "search.steer": steer.parser,
    "results.curves": curves.parser,
}
"""Maps modules, as in `python -m MODULE`, to functions that make their parsers, in the order in
which a user needs them.
"""
