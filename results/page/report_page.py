"""Builds the page of a search from its sections."""

from collections.abc import Iterator
from pathlib import Path

from results.page.curves import learning
from results.page.figure import Section
from results.page.headline import make_headline
from results.page.parameters import parameters
from results.page.render import render
from results.page.run_data import Run, read_run
from results.page.table import (
    provenance,
    rung_table,
    screening_table,
    searched,
    table,
    typed_options,
)
from results.page.time_use import time_section
from results.page.tradeoff import tradeoff


def page(directory: Path, *, live: bool = False) -> str:
    """Returns the HTML of a run's page. A `live` one is sent by a server, and updates itself."""

    def sections(run: Run) -> Iterator[Section]:
        if len(run.objectives) > 1:
            yield tradeoff(run)
        if run.recorded:
            yield learning(run)
            yield parameters(run)
            yield time_section(run)

    run = read_run(directory)
    return render(
        "report.html",
        sections=sections(run),
        live=live,
        run=run,
        answer=make_headline(run),
        rungs=rung_table(run),
        screening=screening_table(run),
        searched=searched(run),
        table=table(run),
        options=typed_options(run.manifest.get("options", {})),
        provenance=provenance(run.manifest),
    )
