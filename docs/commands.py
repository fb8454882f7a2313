"""Every command of the project that takes arguments, with its command line. Loads nothing heavy."""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping

from datasets import prepare
from results import compare, export, importance, report
from search import options, simulate
from trainables import final

COMMANDS: Mapping[str, Callable[[], ArgumentParser]] = {
    "search.run": options.parser,
    "datasets.prepare": prepare.parser,
    "trainables.final": final.parser,
    "results.export": export.parser,
    "results.report": report.parser,
    "results.compare": compare.parser,
    "results.importance": importance.parser,
    "search.simulate": simulate.parser,
}
"""By module, as in `python -m MODULE`, in the order in which a user comes to them."""
